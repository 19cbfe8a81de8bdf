-- A copy of a table by its name is a change of rows.
-- servers: mysql mysql9
-- stops: statement as text
create table t (id int primary key, v int);
set binlog_format = statement;
create table copy (primary key (id)) table t;
