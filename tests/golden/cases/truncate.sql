-- TRUNCATE in all its spellings is one record without a key, for the table it names.
create table t (id int primary key);
create table `truncate` (id int primary key);
create table `a.b` (id int primary key);
insert into t values (1);
  -> t write (1)
read;
truncate table t;
  -> t truncate ()
truncate t;
  -> t truncate ()
TRUNCATE `${db}` . `t`;
  -> t truncate ()
/* first */ truncate /* and */ table t -- last
  ;
  -> t truncate ()
truncate -- a remark
  table
  `truncate`;
  -> truncate truncate ()
truncate `a.b`;
  -> `a.b` truncate ()
insert into t values (1);
  -> t write (1)
