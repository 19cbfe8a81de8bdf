-- Another column becomes the key, and no column changes.
-- stops with less metadata: changed after the event was written
create table t (a int not null, b int not null, primary key (a));
start;
set timestamp = unix_timestamp() - 100;
insert into t values (1, 10);
  -> t write (1)
set timestamp = default;
alter table t drop primary key, add primary key (b);
insert into t values (2, 20);
  -> t write (20)
