-- Where there is no primary key, the server takes the first unique key without nulls for one, and so do we.
create table one (v int, b int not null, a int not null, unique key (b, a));
create table two (v int unique, a int not null, b varchar(9) not null, unique key (b), key (a));
insert into one values (null, 1, 2);
  -> one write (1, 2)
update one set v = 1;
  -> one update (1, 2)
insert into two values (null, 1, 'x');
  -> two write ('x')
delete from two;
  -> two delete ('x')
