-- The statements that a session logs beside its rows change nothing, whatever they say.
-- servers: mysql mysql9
-- logged: Rows_query
create table t (id int primary key, v varchar(1000));
set binlog_rows_query_log_events = on;
insert into t values (1, 'TRUNCATE TABLE t'), (2, 'COMMIT');
  -> t write (1)
  -> t write (2)
begin;
update t set v = repeat('DELETE FROM t', 50);
delete from t where id = 2;
commit;
  -> t update (1)
  -> t update (2)
  -> t delete (2)
set binlog_transaction_compression = on;
insert into t values (3, 'ROLLBACK');
  -> t write (3)
set binlog_transaction_compression = off;
set binlog_rows_query_log_events = off;
delete from t;
  -> t delete (1)
  -> t delete (3)
