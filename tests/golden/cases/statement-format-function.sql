-- A function that changes rows is logged as the SELECT that calls it.
-- stops: statement as text
create table t (id int primary key, v int);
create function bump(which int) returns int deterministic
  begin
    update t set v = v + 1 where id = which;
    return which;
  end;
insert into t values (1, 1);
  -> t write (1)
set binlog_format = statement;
do bump(1);
