-- Copies that gh-ost and pt-online-schema-change make are counted and passed over, in the application's transactions too.
-- passed over: _t_new online-ddl; _u_gho online-ddl; _u_ghc online-ddl
create table t (id int primary key, v int);
create table u (id int primary key, v int);
create table _t_new (id int primary key, v int);
create table _u_gho (id int primary key, v int);
create table _u_ghc (id int primary key, hint varchar(64));
create trigger x after insert on t for each row replace into _t_new values (new.id, new.v);
begin;
insert into t values (1, 10);
insert into u values (1, 10);
commit;
  -> t write (1)
  -> u write (1)
insert into _u_ghc values (1, 'heartbeat');
replace into _u_gho values (1, 10);
read;
rename table t to _t_old, _t_new to t;
insert into t values (2, 20);
  -> t write (2)
read;
rename table u to _u_del, _u_gho to u;
insert into u values (2, 20);
  -> u write (2)
drop table _t_old, _u_del, _u_ghc;
