-- The hidden columns of functional indexes are no columns of the log.
-- servers: mysql mysql9
create table t (name varchar(20), tags json, id int primary key, n int,
  index ((lower(name))), index ((n * 2)), index ((cast(tags -> '$' as unsigned array))));
insert into t values ('A', '[1, 2]', 1, 5), ('B', null, 2, null);
  -> t write (1)
  -> t write (2)
update t set tags = '[3]', n = 7;
  -> t update (1)
  -> t update (2)
