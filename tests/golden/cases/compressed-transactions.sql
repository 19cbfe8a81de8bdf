-- A session that compresses its transactions gives the records of one that does not.
-- servers: mysql mysql9
-- logged: Transaction_payload
create table t (id int primary key, v varchar(2000));
create table u (a varchar(10), b int, j json, primary key (b, a));
set binlog_transaction_compression = on;
insert into t values (1, repeat('x', 1500)), (2, null);
  -> t write (1)
  -> t write (2)
begin;
insert into u values ('a', 1, '{"k": 1}'), ('b', 2, null);
update t set v = repeat('y', 2000);
update t set id = 10 where id = 1;
savepoint s;
insert into t values (99, 'z');
rollback to s;
delete from u where b = 2;
commit;
  -> u write (1, 'a')
  -> u write (2, 'b')
  -> t update (1)
  -> t update (2)
  -> t delete (1)
  -> t write (10)
  -> u delete (2, 'b')
read;
truncate u;
  -> u truncate ()
create table c (id int primary key) select 7 as id;
  -> c write (7)
set binlog_transaction_compression_level_zstd = 22;
insert into t select id + 20, v from t;
  -> t write (22)
  -> t write (30)
set binlog_transaction_compression = off;
delete from t where id > 2;
  -> t delete (10)
  -> t delete (22)
  -> t delete (30)
