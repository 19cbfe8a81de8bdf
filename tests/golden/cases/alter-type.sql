-- A key of another type, before the rows of the former one are read.
-- stops with less metadata: changed after the event was written
create table t (id int primary key, v int);
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
alter table t modify id bigint unsigned;
insert into t values (18446744073709551615, 20);
  -> t write ('18446744073709551615')
