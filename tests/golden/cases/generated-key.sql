-- A generated column may be the key.
-- servers: mysql mysql9
create table k (a int, k varchar(20) as (concat('k', a)) stored, primary key (k, a));
insert into k (a) values (1), (2);
  -> k write ('k1', 1)
  -> k write ('k2', 2)
update k set a = 3 where a = 1;
  -> k delete ('k1', 1)
  -> k write ('k3', 3)
