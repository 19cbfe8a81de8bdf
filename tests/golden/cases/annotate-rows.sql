-- The statements that a server logs beside its rows change nothing, whether a session has them or not.
-- servers: mariadb mariadb11
-- logged: Annotate_rows
create table t (id int primary key, v varchar(1000));
set binlog_annotate_row_events = on;
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
set binlog_annotate_row_events = off;
insert into t values (3, 'ROLLBACK');
  -> t write (3)
delete from t;
  -> t delete (1)
  -> t delete (3)
