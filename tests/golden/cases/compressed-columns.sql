-- Columns that are stored compressed, in front of a key and behind it.
-- servers: mariadb mariadb11
create table t (a varchar(500) compressed, id int unsigned, b text compressed character set utf8mb4,
  c varbinary(300) compressed, d longblob compressed, name varchar(10), e mediumtext compressed,
  primary key (name, id));
insert into t values (repeat('a', 500), 4000000000, repeat('b', 60000), 'c', repeat('d', 70000), 'x', ''),
  (null, 2, null, '', 'd', 'y', repeat('e', 100000));
  -> t write ('x', 4000000000)
  -> t write ('y', 2)
update t set a = '', b = 'ä', d = null;
  -> t update ('x', 4000000000)
  -> t update ('y', 2)
update t set id = 3, e = repeat('f', 300) where id = 2;
  -> t delete ('y', 2)
  -> t write ('y', 3)
set binlog_row_image = minimal;
update t set c = repeat('c', 300);
  -> t update ('x', 4000000000)
  -> t update ('y', 3)
delete from t;
  -> t delete ('x', 4000000000)
  -> t delete ('y', 3)
