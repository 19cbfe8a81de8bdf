-- Generated columns, stored or not, stand in the log like others.
create table t (v int as (a + 1) virtual, a int, s int as (a * 2) stored, id int primary key, w varchar(9) as (concat('w', a)));
insert into t (a, id) values (1, 7);
  -> t write (7)
update t set a = 5;
  -> t update (7)
delete from t;
  -> t delete (7)
