-- A key that changes a moment after the rows were written: the statement itself shows it.
-- servers: mysql mysql9
-- stops with less metadata: changed after the event was written
create table t (a int not null, b int not null, primary key (a));
insert into t values (1, 10);
  -> t write (1)
alter table t drop primary key, add primary key (b);
insert into t values (2, 20);
  -> t write (20)
