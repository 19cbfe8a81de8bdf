-- A session that leaves unchanged blobs out of the log.
create table t (note text, id int, body blob, tail varchar(5), primary key (id));
create table b (body blob, v int, other text, primary key (body(5)));
set binlog_row_image = noblob;
insert into t values ('n', 1, 'b', 'x'), (null, 2, 'b', null);
  -> t write (1)
  -> t write (2)
update t set tail = 'y';
  -> t update (1)
  -> t update (2)
update t set body = 'c', id = 5 where id = 1;
  -> t delete (1)
  -> t write (5)
insert into b values ('key', 1, 'o');
  -> b write (x'6b6579')
update b set v = 2;
  -> b update (x'6b6579')
update b set body = 'kez';
  -> b delete (x'6b6579')
  -> b write (x'6b657a')
delete from t;
  -> t delete (2)
  -> t delete (5)
