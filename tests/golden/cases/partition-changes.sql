-- Rows that go with their partition are in no event; a truncate tells that the table lost some.
create table t (id int primary key) partition by range (id)
  (partition p0 values less than (10), partition p1 values less than (20), partition p2 values less than (30));
create table u (id int primary key);
insert into t values (1), (11), (21);
  -> t write (1)
  -> t write (11)
  -> t write (21)
read;
alter table t truncate partition p0;
  -> t truncate ()
alter table t drop partition p1;
  -> t truncate ()
alter table t exchange partition p2 with table u;
  -> t truncate ()
