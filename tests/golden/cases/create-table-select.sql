-- CREATE TABLE ... SELECT gives the rows it copies.
create table t (id int primary key, v int);
insert into t values (1, 1), (2, 2);
  -> t write (1)
  -> t write (2)
create table copy (primary key (id)) select * from t;
  -> copy write (1)
  -> copy write (2)
create table empty_copy (primary key (id)) select * from t where id > 5;
insert into empty_copy values (1, 1);
  -> empty_copy write (1)
