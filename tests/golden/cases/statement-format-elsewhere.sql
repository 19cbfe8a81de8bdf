-- A statement as text stops nothing when the server says that it changes no schema that is captured.
-- servers: mysql mysql9
create table t (id int primary key);
create database ${db}_x;
create table ${db}_x.t (id int primary key);
set session binlog_format = statement;
insert into ${db}_x.t values (1);
set session binlog_format = row;
insert into t values (2);
  -> t write (2)
drop database ${db}_x;
