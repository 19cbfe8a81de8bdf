-- A session that logs all of the row before and only what changed of the row after.
-- servers: mariadb11
create table t (a int, b int, v int, note text, c varchar(10), primary key (c, a, b));
insert into t values (1, 2, 3, 'n', 'c'), (4, 5, 6, null, 'd');
  -> t write ('c', 1, 2)
  -> t write ('d', 4, 5)
set binlog_row_image = full_nodup;
update t set v = 9;
  -> t update ('c', 1, 2)
  -> t update ('d', 4, 5)
update t set b = b + 10;
  -> t delete ('c', 1, 2)
  -> t write ('c', 1, 12)
  -> t delete ('d', 4, 5)
  -> t write ('d', 4, 15)
update t set c = 'e', note = null where a = 1;
  -> t delete ('c', 1, 12)
  -> t write ('e', 1, 12)
insert into t (a, b, c) values (7, 8, 'f');
  -> t write ('f', 7, 8)
delete from t;
  -> t delete ('d', 4, 15)
  -> t delete ('e', 1, 12)
  -> t delete ('f', 7, 8)
