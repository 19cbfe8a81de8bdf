-- A transaction's changes come together and in their order, over all tables.
create table a (id int primary key, v int);
create table b (id varchar(10) primary key, v int);
begin;
insert into a values (1, 1), (2, 2);
insert into b values ('x', 1);
update a set v = 5 where id = 2;
delete from a where id = 1;
insert into a values (1, 9);
insert into b values ('y', 1);
commit;
  -> a write (1)
  -> a write (2)
  -> b write ('x')
  -> a update (2)
  -> a delete (1)
  -> a write (1)
  -> b write ('y')
