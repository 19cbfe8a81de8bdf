-- An update to the same value, and statements that find no row, give nothing.
create table t (id int primary key, v int);
insert into t values (1, 1);
  -> t write (1)
update t set v = 1 where id = 1;
update t set v = 2 where id = 2;
delete from t where id = 2;
insert ignore into t values (1, 5);
insert into t select * from t where id > 10;
update t set v = 2 where id = 1;
  -> t update (1)
