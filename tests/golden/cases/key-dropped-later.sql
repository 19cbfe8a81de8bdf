-- Rows from before a table lost its key come, those after it are passed over.
-- metadata: full
-- passed over: t no-primary-key
create table t (id int primary key, v int);
insert into t values (1, 10);
  -> t write (1)
alter table t drop primary key;
insert into t values (1, 20);
