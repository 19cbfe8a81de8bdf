-- Transactions with a tagged GTID between those without one.
-- servers: mysql9
-- logged: Gtid_tagged_log_event
create table t (id int primary key, v int);
set gtid_next = 'automatic:golden';
insert into t values (1, 1), (2, 2);
  -> t write (1)
  -> t write (2)
begin;
update t set v = 3;
delete from t where id = 2;
commit;
  -> t update (1)
  -> t update (2)
  -> t delete (2)
set binlog_transaction_compression = on;
insert into t values (3, 3);
  -> t write (3)
read;
set gtid_next = 'automatic:a_tag_of_thirty_two_characters';
alter table t add column w int;
truncate t;
  -> t truncate ()
set gtid_next = 'automatic';
insert into t values (4, 4, 4);
  -> t write (4)
