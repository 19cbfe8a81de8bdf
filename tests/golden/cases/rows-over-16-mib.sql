-- Rows of more than a packet of the protocol, which holds 16 MiB, with rows of usual size around them.
-- metadata: default
create table t (body longblob, id int primary key, name varchar(10));
insert into t values ('', 1, 'a');
  -> t write (1)
insert into t values (repeat('x', 17000000), 2, 'b'), ('', 3, 'c');
  -> t write (2)
  -> t write (3)
update t set name = 'd';
  -> t update (1)
  -> t update (2)
  -> t update (3)
update t set id = 4 where id = 2;
  -> t delete (2)
  -> t write (4)
begin;
delete from t where id > 2;
insert into t values (repeat('y', 34000000), 5, 'e');
commit;
  -> t delete (3)
  -> t delete (4)
  -> t write (5)
delete from t;
  -> t delete (1)
  -> t delete (5)
