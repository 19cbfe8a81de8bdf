-- Statements that name a table without changing it, read long after they were carried out.
create table t (id int primary key, v int);
insert into t values (1, 10);
  -> t write (1)
create table child (id int primary key, t_id int, foreign key (t_id) references t (id));
create table twin like t;
create table copy (primary key (id)) select * from t;
  -> copy write (1)
create view v as select * from t;
drop view v;
create trigger x after insert on t for each row set @x = 1;
insert into t values (2, 20);
  -> t write (2)
create table if not exists other (id int primary key, t int);
insert into child values (3, 1);
  -> child write (3)
insert into twin values (4, 1);
  -> twin write (4)
read;
truncate twin;
  -> twin truncate ()
insert into twin values (5, 1);
  -> twin write (5)
