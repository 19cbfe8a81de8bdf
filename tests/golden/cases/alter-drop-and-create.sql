-- A table that is made anew under its name, with another key.
-- stops with less metadata: changed after the event was written
create table t (a int, b int not null, primary key (a));
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
drop table t;
create table t (a int not null, b int, primary key (b));
insert into t values (2, 20);
  -> t write (20)
