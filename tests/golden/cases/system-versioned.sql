-- A table that keeps its history: the present rows are its rows.
-- servers: mariadb
create table t (id int primary key, v int) with system versioning;
insert into t values (1, 1), (2, 2);
update t set v = 3 where id = 1;
delete from t where id = 2;
