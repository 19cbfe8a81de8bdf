-- Forty rows with forty patterns of nulls, around the key and behind it.
create table t (c0 int, c1 varchar(300), c2 text, c3 tinyint, c4 double, c5 varchar(20),
  id int primary key, c6 int, c7 varchar(300), c8 text, c9 tinyint, c10 double, c11 varchar(20));
insert into t values
  (7, repeat('x', 290), 'some text', 1, 1.5, 'short', 1, 7, repeat('x', 290), 'some text', 1, 1.5, 'short'),
  (null, repeat('x', 290), 'some text', 1, 1.5, 'short', 2, null, null, null, 1, 1.5, 'short'),
  (7, null, 'some text', 1, 1.5, 'short', 3, 7, null, null, null, 1.5, 'short'),
  (null, null, 'some text', 1, 1.5, 'short', 4, null, repeat('x', 290), null, 1, null, 'short'),
  (7, repeat('x', 290), null, 1, 1.5, 'short', 5, 7, repeat('x', 290), null, null, null, 'short'),
  (null, repeat('x', 290), null, 1, 1.5, 'short', 6, null, null, 'some text', 1, 1.5, null),
  (7, null, null, 1, 1.5, 'short', 7, 7, null, 'some text', null, 1.5, null),
  (null, null, null, 1, 1.5, 'short', 8, null, repeat('x', 290), 'some text', 1, null, null),
  (7, repeat('x', 290), 'some text', null, 1.5, 'short', 9, 7, repeat('x', 290), 'some text', null, null, null),
  (null, repeat('x', 290), 'some text', null, 1.5, 'short', 10, null, null, null, null, null, null),
  (7, null, 'some text', null, 1.5, 'short', 11, 7, null, null, 1, 1.5, 'short'),
  (null, null, 'some text', null, 1.5, 'short', 12, null, repeat('x', 290), null, null, 1.5, 'short'),
  (7, repeat('x', 290), null, null, 1.5, 'short', 13, 7, repeat('x', 290), null, 1, null, 'short'),
  (null, repeat('x', 290), null, null, 1.5, 'short', 14, null, null, 'some text', null, null, 'short'),
  (7, null, null, null, 1.5, 'short', 15, 7, null, 'some text', 1, 1.5, null),
  (null, null, null, null, 1.5, 'short', 16, null, repeat('x', 290), 'some text', null, 1.5, null),
  (7, repeat('x', 290), 'some text', 1, null, 'short', 17, 7, repeat('x', 290), 'some text', 1, null, null),
  (null, repeat('x', 290), 'some text', 1, null, 'short', 18, null, null, null, 1, null, null),
  (7, null, 'some text', 1, null, 'short', 19, 7, null, null, null, null, null),
  (null, null, 'some text', 1, null, 'short', 20, null, repeat('x', 290), null, 1, 1.5, 'short'),
  (7, repeat('x', 290), null, 1, null, 'short', 21, 7, repeat('x', 290), null, null, 1.5, 'short'),
  (null, repeat('x', 290), null, 1, null, 'short', 22, null, null, 'some text', 1, null, 'short'),
  (7, null, null, 1, null, 'short', 23, 7, null, 'some text', null, null, 'short'),
  (null, null, null, 1, null, 'short', 24, null, repeat('x', 290), 'some text', 1, 1.5, null),
  (7, repeat('x', 290), 'some text', null, null, 'short', 25, 7, repeat('x', 290), 'some text', null, 1.5, null),
  (null, repeat('x', 290), 'some text', null, null, 'short', 26, null, null, null, null, 1.5, null),
  (7, null, 'some text', null, null, 'short', 27, 7, null, null, 1, null, null),
  (null, null, 'some text', null, null, 'short', 28, null, repeat('x', 290), null, null, null, null),
  (7, repeat('x', 290), null, null, null, 'short', 29, 7, repeat('x', 290), null, 1, 1.5, 'short'),
  (null, repeat('x', 290), null, null, null, 'short', 30, null, null, 'some text', null, 1.5, 'short'),
  (7, null, null, null, null, 'short', 31, 7, null, 'some text', 1, null, 'short'),
  (null, null, null, null, null, 'short', 32, null, repeat('x', 290), 'some text', null, null, 'short'),
  (7, repeat('x', 290), 'some text', 1, 1.5, null, 33, 7, repeat('x', 290), 'some text', 1, 1.5, null),
  (null, repeat('x', 290), 'some text', 1, 1.5, null, 34, null, null, null, 1, 1.5, null),
  (7, null, 'some text', 1, 1.5, null, 35, 7, null, null, null, 1.5, null),
  (null, null, 'some text', 1, 1.5, null, 36, null, repeat('x', 290), null, 1, null, null),
  (7, repeat('x', 290), null, 1, 1.5, null, 37, 7, repeat('x', 290), null, null, null, null),
  (null, repeat('x', 290), null, 1, 1.5, null, 38, null, null, 'some text', 1, 1.5, 'short'),
  (7, null, null, 1, 1.5, null, 39, 7, null, 'some text', null, 1.5, 'short'),
  (null, null, null, 1, 1.5, null, 40, null, repeat('x', 290), 'some text', 1, null, 'short');
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
  -> t write (13)
  -> t write (14)
  -> t write (15)
  -> t write (16)
  -> t write (17)
  -> t write (18)
  -> t write (19)
  -> t write (20)
  -> t write (21)
  -> t write (22)
  -> t write (23)
  -> t write (24)
  -> t write (25)
  -> t write (26)
  -> t write (27)
  -> t write (28)
  -> t write (29)
  -> t write (30)
  -> t write (31)
  -> t write (32)
  -> t write (33)
  -> t write (34)
  -> t write (35)
  -> t write (36)
  -> t write (37)
  -> t write (38)
  -> t write (39)
  -> t write (40)
update t set c0 = 1, c7 = null where id <= 3;
  -> t update (1)
  -> t update (2)
  -> t update (3)
delete from t where id > 3;
  -> t delete (4)
  -> t delete (5)
  -> t delete (6)
  -> t delete (7)
  -> t delete (8)
  -> t delete (9)
  -> t delete (10)
  -> t delete (11)
  -> t delete (12)
  -> t delete (13)
  -> t delete (14)
  -> t delete (15)
  -> t delete (16)
  -> t delete (17)
  -> t delete (18)
  -> t delete (19)
  -> t delete (20)
  -> t delete (21)
  -> t delete (22)
  -> t delete (23)
  -> t delete (24)
  -> t delete (25)
  -> t delete (26)
  -> t delete (27)
  -> t delete (28)
  -> t delete (29)
  -> t delete (30)
  -> t delete (31)
  -> t delete (32)
  -> t delete (33)
  -> t delete (34)
  -> t delete (35)
  -> t delete (36)
  -> t delete (37)
  -> t delete (38)
  -> t delete (39)
  -> t delete (40)
