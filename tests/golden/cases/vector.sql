-- Vectors in front of a key and behind it, empty, whole and changed.
-- servers: mysql9
create table t (v vector(3), id int unsigned, w vector, name varchar(10), primary key (name, id));
insert into t values (to_vector('[1,2,3]'), 4000000000, null, 'a'), (null, 2, to_vector('[1]'), 'b');
  -> t write ('a', 4000000000)
  -> t write ('b', 2)
update t set w = to_vector(concat('[1', repeat(',2', 2000), ']'));
  -> t update ('a', 4000000000)
  -> t update ('b', 2)
update t set v = to_vector('[3,2,1]'), id = 3 where id = 2;
  -> t delete ('b', 2)
  -> t write ('b', 3)
set binlog_row_image = noblob;
update t set v = to_vector('[0,0,0]');
  -> t update ('a', 4000000000)
  -> t update ('b', 3)
delete from t;
  -> t delete ('a', 4000000000)
  -> t delete ('b', 3)
