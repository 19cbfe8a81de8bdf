-- ON DUPLICATE KEY UPDATE is a write of a new row and an update of one that is there.
create table t (id int primary key, v int);
insert into t values (1, 1);
  -> t write (1)
insert into t values (1, 1), (2, 1) on duplicate key update v = v + 1;
  -> t update (1)
  -> t write (2)
insert into t values (2, 9) on duplicate key update id = 7;
  -> t delete (2)
  -> t write (7)
