-- A key over the beginning of a column carries the column's whole value.
create table t (slug varchar(50), body blob, n int, primary key (body(3), slug(4)));
insert into t values ('a long slug', 'a long body', 1);
  -> t write (x'61206c6f6e6720626f6479', 'a long slug')
update t set n = 2;
  -> t update (x'61206c6f6e6720626f6479', 'a long slug')
update t set slug = 'a longer slug';
  -> t delete (x'61206c6f6e6720626f6479', 'a long slug')
  -> t write (x'61206c6f6e6720626f6479', 'a longer slug')
