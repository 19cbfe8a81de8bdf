-- A table that is gone before its rows are read: they carry their key.
-- metadata: full
create table t (id int primary key, v int);
create table u (id int primary key, v int);
insert into t values (1, 10), (2, 20);
  -> t write (1)
  -> t write (2)
insert into u values (3, 3);
  -> u write (3)
drop table t;
insert into u values (4, 4);
  -> u write (4)
