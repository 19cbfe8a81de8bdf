-- One UPDATE or DELETE over several tables gives the changes of each.
create table a (id int primary key, v int);
create table b (id int primary key, a_id int, v int);
insert into a values (1, 1), (2, 2);
  -> a write (1)
  -> a write (2)
insert into b values (10, 1, 1), (20, 2, 2);
  -> b write (10)
  -> b write (20)
update a join b on b.a_id = a.id set a.v = 7, b.v = 8 where a.id = 1;
  -> a update (1)
  -> b update (10)
delete a, b from a join b on b.a_id = a.id where a.id = 2;
  -> a delete (2)
  -> b delete (20)
