-- Generated columns, stored or not, stand in the log like others, and may be the key.
create table t (v int as (a + 1) virtual, a int, s int as (a * 2) stored, id int primary key, w varchar(9) as (concat('w', a)));
create table k (a int, k varchar(20) as (concat('k', a)) stored, primary key (k, a));
insert into t (a, id) values (1, 7);
  -> t write (7)
update t set a = 5;
  -> t update (7)
insert into k (a) values (1), (2);
  -> k write ('k1', 1)
  -> k write ('k2', 2)
update k set a = 3 where a = 1;
  -> k delete ('k1', 1)
  -> k write ('k3', 3)
