-- Columns of one type that trade places.
-- stops with default metadata: changed after the event was written
set timestamp = unix_timestamp() - 100;
create table t (v int not null, id int primary key);
insert into t values (10, 1);
  -> t write (1)
set timestamp = default;
alter table t modify id int first;
insert into t values (2, 20);
  -> t write (2)
