-- The labels of an ENUM change their numbers.
-- stops with less metadata: changed after the event was written
create table t (e enum('a', 'b') primary key, v int);
start;
set timestamp = unix_timestamp() - 100;
insert into t values ('a', 10);
  -> t write ('a')
set timestamp = default;
alter table t modify e enum('x', 'a', 'b');
insert into t values ('x', 20);
  -> t write ('x')
