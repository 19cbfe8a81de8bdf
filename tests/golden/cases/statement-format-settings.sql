-- A statement with settings of its own in front.
-- servers: mariadb mariadb11
-- stops: statement as text
create table t (id int primary key, v int);
set binlog_format = statement;
set statement max_statement_time = 10 for insert into t values (1, 1);
