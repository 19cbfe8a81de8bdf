-- A table without transactions keeps its rows when the others go back to a savepoint, and so they are told.
-- servers: mariadb
create table t (id int primary key);
create table m (id int primary key) engine=myisam;
begin;
insert into t values (1);
savepoint a;
insert into m values (10);
  -> m write (10)
insert into t values (2);
rollback to a;
insert into t values (3);
savepoint a;
insert into t values (4);
commit;
  -> t write (1)
  -> t write (3)
  -> t write (4)
