-- Rows from before a table had a key are passed over, those after it come.
-- metadata: full
-- passed over: t no-primary-key
create table t (id int not null, v int);
insert into t values (1, 10);
alter table t add primary key (id);
insert into t values (2, 20);
  -> t write (2)
