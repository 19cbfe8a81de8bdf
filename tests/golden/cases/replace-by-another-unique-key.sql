-- REPLACE that takes the place of a row by another unique key removes that row.
create table t (id int primary key, email varchar(20) unique);
insert into t values (1, 'a'), (2, 'b');
  -> t write (1)
  -> t write (2)
replace into t values (3, 'a');
  -> t delete (1)
  -> t write (3)
