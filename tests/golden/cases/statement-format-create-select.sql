-- A copy that is logged as its CREATE TABLE ... SELECT is a change of rows.
-- stops: statement as text
create table t (id int primary key, v int);
set binlog_format = statement;
create table copy (primary key (id)) as select * from t;
