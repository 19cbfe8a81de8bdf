-- A key that the server generated and hides is a key.
-- servers: mysql mysql9
set sql_generate_invisible_primary_key = on;
create table t (v int);
insert into t values (5), (5);
  -> t write (1)
  -> t write (2)
delete from t where my_row_id = 1;
  -> t delete (1)
