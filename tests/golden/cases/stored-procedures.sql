-- A procedure's changes come as if its statements had been run.
create table t (id int primary key, v int);
create procedure fill(in n int)
  begin
    declare i int default 0;
    while i < n do
      set i = i + 1;
      insert into t values (i, 0);
    end while;
  end;
create function bump(which int) returns int deterministic
  begin
    update t set v = v + 1 where id = which;
    return which;
  end;
call fill(2);
  -> t write (1)
  -> t write (2)
select bump(2);
  -> t update (2)
drop procedure fill;
drop function bump;
