-- Nulls before and behind the key move it about in the row.
create table t (a varchar(300), b int, id bigint primary key, c text, d bit(9), e time(3));
insert into t values (null, null, 1, null, null, null), ('a', null, 2, 'c', b'101', null),
  (repeat('a', 300), 3, 3, null, null, '10:11:12.5'), ('', 3, 4, '', 0, '-1:00:00'), (null, null, 5, null, null, null);
  -> t write (1)
  -> t write (2)
  -> t write (3)
  -> t write (4)
  -> t write (5)
update t set a = null, c = 'x', e = null;
  -> t update (1)
  -> t update (2)
  -> t update (3)
  -> t update (4)
  -> t update (5)
