-- ROLLBACK TO a savepoint takes back what came after it, and the transaction goes on.
create table t (id int primary key, v int);
begin;
insert into t values (1, 1);
savepoint here;
insert into t values (2, 2);
rollback to here;
insert into t values (3, 3);
savepoint `a strange name`;
insert into t values (4, 4);
release savepoint here;
commit;
  -> t write (1)
  -> t write (3)
  -> t write (4)
