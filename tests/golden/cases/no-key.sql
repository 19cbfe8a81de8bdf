-- A table without a key gives nothing, and is counted.
-- passed over: bare no-primary-key; nullable no-primary-key
create table bare (a int, b int);
create table nullable (a int unique, b int);
create table t (id int primary key);
insert into bare values (1, 1);
insert into nullable values (1, 1);
begin;
insert into bare values (2, 2);
insert into t values (1);
update bare set b = 3;
commit;
  -> t write (1)
