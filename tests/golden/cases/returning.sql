-- INSERT and DELETE that return rows give the same changes.
-- servers: mariadb mariadb11
create table t (id int primary key, v int);
insert into t values (1, 1), (2, 2) returning id;
  -> t write (1)
  -> t write (2)
replace into t values (1, 5) returning v;
  -> t update (1)
delete from t where id = 2 returning id, v;
  -> t delete (2)
