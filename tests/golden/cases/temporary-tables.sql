-- What a session keeps to itself is not in the log.
create table t (id int primary key);
create temporary table mine (id int primary key);
insert into mine values (1), (2);
insert into t select id from mine;
  -> t write (1)
  -> t write (2)
truncate mine;
drop temporary table mine;
