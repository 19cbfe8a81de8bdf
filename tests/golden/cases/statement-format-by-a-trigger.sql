-- A statement as text on a schema that is not captured stops the capture when a trigger brings it into one that is.
-- stops: a statement as text
create table t (id int primary key);
create database ${db}_x;
create table ${db}_x.t (id int primary key);
create trigger ${db}_x.copied after insert on ${db}_x.t for each row insert into ${db}.t values (new.id);
set session binlog_format = statement;
insert into ${db}_x.t values (1);
drop database ${db}_x;
