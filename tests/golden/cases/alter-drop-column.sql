-- A column that is gone before the rows that have it are read.
-- stops with less metadata: changed after the event was written
create table t (v int, id int primary key, w int);
start;
set timestamp = unix_timestamp() - 100;
insert into t values (10, 1, 11);
  -> t write (1)
set timestamp = default;
alter table t drop column v;
insert into t values (2, 20);
  -> t write (2)
