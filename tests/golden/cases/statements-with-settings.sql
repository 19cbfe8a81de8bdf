-- TRUNCATE and ALTER with settings of their own in front are what they are.
-- servers: mariadb mariadb11
create table t (id int primary key, v int);
set statement max_statement_time = 10 for insert into t values (1, 1);
  -> t write (1)
read;
set statement max_statement_time = 10, sql_mode = 'ANSI' for alter table t add column extra int first;
insert into t values (7, 2, 1);
  -> t write (2)
read;
set statement max_statement_time = 10 for truncate table t;
  -> t truncate ()
