-- What was rolled back was never there.
create table t (id int primary key, v int);
begin;
insert into t values (1, 1);
rollback;
begin;
insert into t values (2, 2);
commit;
  -> t write (2)
