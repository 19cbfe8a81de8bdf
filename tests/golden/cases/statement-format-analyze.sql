-- ANALYZE UPDATE carries the update out.
-- servers: mariadb mariadb11
-- stops: statement as text
create table t (id int primary key, v int);
insert into t values (1, 1);
  -> t write (1)
set binlog_format = statement;
analyze format=json update t set v = 5;
