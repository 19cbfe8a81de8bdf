-- Rows that were undone are not told, though MariaDB has them in the log when a temporary table was used beside them.
create table t (id int primary key, v int);
begin;
insert into t values (1, 1);
savepoint a;
create temporary table held (id int);
insert into t values (2, 2);
savepoint `B c`;
delete from t where id = 1;
rollback to `b C`;
update t set id = 20 where id = 2;
rollback to a;
insert into t values (3, 3);
commit;
  -> t write (1)
  -> t write (3)
drop temporary table held;
