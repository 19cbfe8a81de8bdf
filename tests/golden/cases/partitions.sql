-- A partitioned table is one table.
create table t (id int, region int, v int, primary key (id, region))
  partition by hash (region) partitions 3;
insert into t values (1, 1, 0), (2, 2, 0), (3, 3, 0);
  -> t write (1, 1)
  -> t write (2, 2)
  -> t write (3, 3)
update t set region = 5 where id = 1;
  -> t delete (1, 1)
  -> t write (1, 5)
delete from t where id = 2;
  -> t delete (2, 2)
read;
truncate t;
  -> t truncate ()
