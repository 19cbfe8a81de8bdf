-- An UPDATE behind a WITH is a change of rows.
-- servers: mysql mysql9
-- stops: statement as text
create table t (id int primary key, v int);
insert into t values (1, 1);
  -> t write (1)
set binlog_format = statement;
with c as (select 1 as id) update t join c on c.id = t.id set v = 2;
