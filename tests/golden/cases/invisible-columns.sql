-- Columns that SELECT * leaves out are in the log, and count.
create table t (hidden int default 3 invisible, a int, id int primary key, last int default 4 invisible);
insert into t (a, id) values (1, 2);
  -> t write (2)
delete from t;
  -> t delete (2)
