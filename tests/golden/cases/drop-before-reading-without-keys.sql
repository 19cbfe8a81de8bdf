-- A table that is gone before its rows are read, where they do not carry their key: counted, and the others go on.
-- metadata: default minimal
-- passed over: t table-gone
create table t (id int primary key, v int);
create table u (id int primary key, v int);
insert into t values (1, 10), (2, 20);
insert into u values (3, 3);
  -> u write (3)
begin;
update t set v = 11;
insert into u values (4, 4);
commit;
  -> u write (4)
drop table t;
insert into u values (5, 5);
  -> u write (5)
