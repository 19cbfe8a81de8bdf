-- The key's parts change their order.
-- stops with less metadata: changed after the event was written
create table t (a int, b int, primary key (a, b));
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1, 10)
set timestamp = default;
alter table t drop primary key, add primary key (b, a);
insert into t values (2, 20);
  -> t write (20, 2)
