-- Rows in a log of statements are not lost in silence.
-- stops: statement as text
create table t (id int primary key, v int);
set binlog_format = statement;
insert into t values (1, 1);
