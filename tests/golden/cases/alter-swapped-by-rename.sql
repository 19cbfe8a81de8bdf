-- A table that takes another's name, as tools for changes without locks do it.
-- stops with less metadata: changed after the event was written
create table t (a int, b int not null, primary key (a));
create table t_new (a int not null, b int, primary key (b));
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
rename table t to t_old, t_new to t;
insert into t values (2, 20);
  -> t write (20)
