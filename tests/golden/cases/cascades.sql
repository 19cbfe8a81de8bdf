-- Rows that go or change with the row they refer to are in the log of MySQL 9 only.
-- servers: mysql mariadb mariadb11
create table parent (id int primary key);
create table child (id int primary key, parent_id int, foreign key (parent_id) references parent (id) on delete cascade);
insert into parent values (1);
  -> parent write (1)
insert into child values (10, 1);
  -> child write (10)
delete from parent;
  -> parent delete (1)
