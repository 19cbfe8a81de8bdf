-- Keys that move up by one: each delete comes before the write of the same key.
create table t (id int primary key);
insert into t values (1), (2), (3);
  -> t write (1)
  -> t write (2)
  -> t write (3)
update t set id = id + 1 order by id desc;
  -> t delete (3)
  -> t write (4)
  -> t delete (2)
  -> t write (3)
  -> t delete (1)
  -> t write (2)
