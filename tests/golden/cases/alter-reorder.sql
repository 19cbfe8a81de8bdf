-- Columns of one type that trade places.
-- stops with less metadata: changed after the event was written
create table t (v int not null, id int primary key);
start;
set timestamp = unix_timestamp() - 100;
insert into t values (10, 1);
  -> t write (1)
set timestamp = default;
alter table t modify id int first;
insert into t values (2, 20);
  -> t write (2)
