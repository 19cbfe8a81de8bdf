-- A reader that keeps up sees each change of a table where it stands, whatever the metadata.
create table t (id int primary key, v int);
insert into t values (1, 10);
  -> t write (1)
read;
alter table t add column extra int not null first;
insert into t values (9, 2, 20);
  -> t write (2)
read;
alter table t drop primary key, add primary key (extra, id);
update t set v = 1 where id = 2;
  -> t update (9, 2)
read;
alter table t modify extra int not null after v;
alter table t drop column v;
delete from t where id = 2;
  -> t delete (9, 2)
read;
drop table t;
create table t (name varchar(10) primary key);
insert into t values ('x');
  -> t write ('x')
read;
