-- Rows of several events of one statement, and a transaction beyond the server's cache.
create table t (id int primary key, filler varchar(1000));
insert into t values (1, repeat('x', 900)), (2, repeat('x', 900)), (3, repeat('x', 900)), (4, repeat('x', 900)),
  (5, repeat('x', 900)), (6, repeat('x', 900)), (7, repeat('x', 900)), (8, repeat('x', 900)), (9, repeat('x', 900)),
  (10, repeat('x', 900)), (11, repeat('x', 900)), (12, repeat('x', 900));
  -> t write (1)
  -> t write (2)
  -> t write (3)
  -> t write (4)
  -> t write (5)
  -> t write (6)
  -> t write (7)
  -> t write (8)
  -> t write (9)
  -> t write (10)
  -> t write (11)
  -> t write (12)
update t set filler = repeat('y', 950) where id > 10;
  -> t update (11)
  -> t update (12)
begin;
delete from t where id = 1;
insert into t values (1, repeat('z', 999)), (13, repeat('z', 999));
commit;
  -> t delete (1)
  -> t write (1)
  -> t write (13)
