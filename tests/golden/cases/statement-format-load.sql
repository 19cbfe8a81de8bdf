-- A file that is loaded in statement format.
-- stops: LOAD DATA
create table t (id int primary key, v int);
set binlog_format = statement;
load data local infile '${files}/words.tsv' into table t (@word, @n) set id = @n, v = 0;
