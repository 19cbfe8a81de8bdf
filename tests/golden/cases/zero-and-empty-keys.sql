-- The keys 0 and '' are keys like others.
set sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
create table n (id int auto_increment primary key, v int);
create table s (id varchar(10) primary key, v int);
create table b (id varbinary(10) primary key, v int);
insert into n values (0, 1);
  -> n write (0)
insert into s values ('', 1);
  -> s write ('')
insert into b values ('', 1);
  -> b write (x'')
update n set v = 2;
  -> n update (0)
delete from s;
  -> s delete ('')
