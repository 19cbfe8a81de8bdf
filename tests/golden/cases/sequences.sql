-- A sequence has no key.
-- servers: mariadb mariadb11
-- passed over: s no-primary-key
create sequence s;
create table t (id int default next value for s primary key, v int);
insert into t (v) values (1), (2);
  -> t write (1)
  -> t write (2)
