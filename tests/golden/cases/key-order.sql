-- The parts of a key come in the key's order, not in that of the columns.
create table t (a int, b varchar(10), c int unsigned, note text, primary key (c, a, b));
insert into t values (1, 'x', 4000000000, 'n'), (2, 'y z', 3, null);
  -> t write (4000000000, 1, 'x')
  -> t write (3, 2, 'y z')
update t set note = 'm';
  -> t update (3, 2, 'y z')
  -> t update (4000000000, 1, 'x')
delete from t where a = 1;
  -> t delete (4000000000, 1, 'x')
