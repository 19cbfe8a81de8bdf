-- Differences of JSON documents in the place of the documents, as one session logs them: the keys around them hold.
-- servers: mysql mysql9
-- logged: Update_rows_partial Transaction_payload
create table t (a varchar(10), j json, b int unsigned, k json, z text, primary key (b, a));
insert into t values ('x', concat('{"n": 1, "s": "', repeat('s', 300), '"}'), 4000000000, '{"m": [1, 2, 3]}', 'z');
  -> t write (4000000000, 'x')
set binlog_row_value_options = partial_json;
update t set j = json_set(j, '$.n', 2);
  -> t update (4000000000, 'x')
update t set j = json_set(j, '$.s', repeat('t', 200)), k = json_remove(k, '$.m[1]'), z = null;
  -> t update (4000000000, 'x')
update t set j = json_replace(j, '$.n', 3), a = 'y', k = null;
  -> t delete (4000000000, 'x')
  -> t write (4000000000, 'y')
set binlog_row_image = minimal;
update t set j = json_set(j, '$.n', 4), z = 'zz';
  -> t update (4000000000, 'y')
update t set j = json_set(j, '$.n', 5), b = 7;
  -> t delete (4000000000, 'y')
  -> t write (7, 'y')
set binlog_row_image = noblob;
update t set j = json_set(j, '$.n', 6), b = 8;
  -> t delete (7, 'y')
  -> t write (8, 'y')
set binlog_transaction_compression = on;
update t set j = json_set(j, '$.n', 7);
  -> t update (8, 'y')
delete from t;
  -> t delete (8, 'y')
