-- A column that is added in front, before the rows that were written without it are read.
-- stops with less metadata: changed after the event was written
create table t (id int primary key, v int);
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
alter table t add column extra varchar(10) first;
insert into t values ('x', 2, 20);
  -> t write (2)
