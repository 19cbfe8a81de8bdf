-- REPLACE of a row that is there is an update of it; of one that is not, a write.
create table t (id int primary key, v int);
replace into t values (1, 1);
  -> t write (1)
replace into t values (1, 2), (2, 2);
  -> t update (1)
  -> t write (2)
