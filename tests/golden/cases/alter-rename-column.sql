-- A renamed key column is the same key.
-- stops with less metadata: changed after the event was written
create table t (id int primary key, v int);
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
alter table t change id number int;
insert into t values (2, 20);
  -> t write (2)
