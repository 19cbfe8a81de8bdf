#: A statement begins at the margin and goes on in the indented lines below it.  A line that begins with #: is for
#: people, but for  #: only SERVERS  , which says of the next statement which servers know it.
#: ${db} is a database of its own.

#: -- comments, wherever they may stand

create table kept (id int primary key, v int, w varchar(200))
/* in front */ insert into kept values (1, 1, 'a')
/**/insert into kept values (2, 1, 'a')
/* one */ /* two */ insert /* three */ into /* four */ kept /* five */ values /* six */ (3, 1, 'a') /* seven */
-- a line in front
  insert into kept values (4, 1, 'a')
# another kind of line
  insert into kept values (5, 1, 'a')
--	with a tab
  insert into kept values (6, 1, 'a')
insert into kept values (7, 1, 'a') -- behind
insert into kept values (8, 1, 'a') # behind
insert into kept -- in
  values (9, 1, -- the
  'a' # middle
  )
/*! insert into kept values (10, 1, 'a') */
/*!40000 insert into kept values (11, 1, 'a') */
insert /*!50000 into */ kept values (12, 1, 'a')
/*!50000 insert into kept values (13, 1, 'a') */ -- behind
insert into kept values (14, /*!50000 1 + */ 1, 'a')
/*!99999 this is never read */ insert into kept values (15, 1, 'a')
#: only mysql mysql9
/*!80000 insert into kept values (16, 1, 'a') */
#: only mysql mysql9
/*!80000 create table versioned (id int primary key) */
#: only mariadb mariadb11
/*M! insert into kept values (17, 1, 'a') */
#: only mariadb mariadb11
/*M!100000 create table versioned (id int primary key) */
#: only mariadb mariadb11
/*!100100 insert into kept values (18, 1, 'a') */
insert into versioned values (1)
/*!40101 SET NAMES utf8mb4 */
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */
/*!40000 ALTER TABLE kept DISABLE KEYS */
/*!40000 ALTER TABLE kept ENABLE KEYS */
/*!50003 create trigger in_a_version_comment before insert on versioned for each row set new.id = new.id */
/*!50003 drop trigger in_a_version_comment */
select /*+ MAX_EXECUTION_TIME(1000) */ 1
insert /*+ SET_VAR(sort_buffer_size = 16M) */ into kept values (19, 1, 'a')
update /* delete from kept */ kept set v = 2 where id = 1
delete /* truncate kept */ from kept where id = 2
alter table kept comment '/* no comment'
alter table kept comment 'it''s -- no # comment either'
alter table kept /* truncate table kept */ comment ''
create table /* if */ if /* not */ not exists commented /* ( */ (id int /* auto_increment */ primary key) -- )
drop table /* commented, */ if exists /* kept, */ commented /* kept */
/* a tab */ 	 insert into kept values (20, 1, 'a')

#: -- statements that only look like others

alter table kept comment 'truncate table kept'
alter table kept comment "drop table kept"
alter table kept alter column w set default 'insert into kept select'
create table truncated (`truncate` int primary key)
insert into truncated values (1)
create table `truncate table` (id int primary key)
insert into `truncate table` values (1)
truncate table `truncate table`
drop table `truncate table`
create table begin (id int primary key)
insert into begin values (1)
create table commit (id int primary key)
insert into commit values (1)
create table rollback (id int primary key)
insert into rollback values (1)
create table `xa` (id int primary key)
insert into xa values (1)
create table `savepoint` (id int primary key)
insert into savepoint values (1)
drop table begin, commit, rollback, xa, savepoint
create table selected (`select` int primary key, `insert` int, `values` int default 1, `table` int)
insert into selected values (1, 2, 3, 4)
create table with_values (id int primary key, c varchar(20) default 'select 1', d varchar(20) comment 'values (1)')
  comment 'as select * from kept'
insert into with_values (id) values (1)
create table replaced (id int primary key) comment 'replace into kept'
create view insert_view as select id, v from kept
create or replace view insert_view as select id from kept
alter view insert_view as select id, w from kept
update insert_view set w = 'through a view' where id = 3
insert into insert_view values (21, 'through a view')
drop view insert_view
insert into kept values (22, 1, 'a');

#: -- names

create table `back``tick` (`a``b` int primary key)
insert into `back``tick` values (1)
alter table `back``tick` add column `c``d` int
truncate table `back``tick`
drop table `back``tick`
create table `größe` (`länge` int primary key) comment 'ümläut'
insert into `größe` values (1)
alter table größe add column 表 int, comment '☃'
insert into größe (länge) values (2)
create table `表` (`鍵` varchar(20) primary key) character set utf8mb4
insert into `表` values ('値'), ('☃'), ('😀')
rename table `表` to `表の表`
truncate `größe`
insert into `größe` (`länge`) values (3)
create table `with space` (id int primary key)
create table `dot.ted` (id int primary key)
create table `semi;colon` (id int primary key)
create table `quo'te` (id int primary key)
create table `quo"te` (id int primary key)
create table `new
  line` (id int primary key)
create table `per%s%%cent` (id int primary key)
create table `#hash` (id int primary key)
create table `--dashes` (id int primary key)
create table `/*comment*/` (id int primary key)
create table `$dollar` (id int primary key)
create table `0` (id int primary key)
insert into `with space` values (1)
insert into `dot.ted` values (1)
insert into `semi;colon` values (1)
insert into `quo'te` values (1)
insert into `#hash` values (1)
insert into `--dashes` values (1)
insert into `/*comment*/` values (1)
insert into `$dollar` values (1)
insert into `0` values (1)
insert into ${db} . kept values (23, 1, 'a')
insert into `${db}`.`kept` values (24, 1, 'a')
truncate `#hash`
truncate `--dashes`
truncate `/*comment*/`
truncate ${db}.`0`
truncate `${db}` . `dot.ted`
rename table `with space` to `with  two`, `dot.ted` to `dot..ted`, `$dollar` to `$$`
alter table `quo'te` rename to `quo''te`
drop table `semi;colon`, `quo''te`, `quo"te`, `per%s%%cent`, `--dashes`, `/*comment*/`
create table aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (id int primary key)
insert into aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa values (1)

#: -- modes of a session

set sql_mode = 'ANSI_QUOTES'
create table "double ""quoted""" ("the id" int primary key)
insert into "double ""quoted""" values (1)
truncate table "double ""quoted"""
alter table "double ""quoted""" add column "x y" int
rename table "double ""quoted""" to "doubly"
insert into "doubly" values (2, 2)
drop table "doubly"
set sql_mode = 'ANSI'
create table ansi ("id" int primary key, "n" varchar (20))
insert into "ansi" values (1, 'a' || 'b')
set sql_mode = 'NO_BACKSLASH_ESCAPES'
insert into kept values (25, 1, 'ends in a backslash\')
alter table kept comment 'ends in a backslash\'
create table backslashed (id int primary key, c varchar(9) default '\') comment '\'
insert into backslashed (id) values (1)
set sql_mode = 'PIPES_AS_CONCAT,IGNORE_SPACE'
create table spaced (id int primary key) select count (*) as id from kept
set sql_mode = default
insert into kept values (26, 1, 'an escaped \' quote; -- and "more" `of` it')
alter table kept comment 'an escaped \' quote; -- and "more" `of` it'
set names latin1
create table latin1_session (id int primary key) comment 'ascii'
alter table latin1_session comment 'e'
set names utf8mb4
set names utf8mb4 collate utf8mb4_bin
set character set utf8mb4
set time_zone = '+08:00'
create table dated (id timestamp primary key)
insert into dated values ('2026-01-31 12:00:00')
set time_zone = default
set timestamp = 1700000000
insert into kept values (27, 1, 'a')
set timestamp = default
set session autocommit = 0
insert into kept values (28, 1, 'a')
commit
insert into kept values (29, 1, 'a')
rollback
set session autocommit = 1
set insert_id = 5
set last_insert_id = 5
set foreign_key_checks = 0, unique_checks = 0
set foreign_key_checks = 1, unique_checks = 1
set @x = 7, @`odd name` := 8, @'quoted' = 9
insert into kept values (30, @x, @`odd name`)
set session transaction isolation level read committed
update kept set v = v + 1 where id in (3, 4)
set session transaction isolation level serializable
update kept set v = v + 1 where id in (3, 4)
set session transaction isolation level repeatable read
set session binlog_row_image = 'MINIMAL'
update kept set v = v + 1 where id = 5
set session binlog_row_image = 'NOBLOB'
update kept set v = v + 1 where id = 5
set session binlog_row_image = 'FULL'
set session auto_increment_increment = 10
create table numbered (id int auto_increment primary key)
insert into numbered values (), (), ()
set session auto_increment_increment = 1
set session default_storage_engine = 'MyISAM'
create table isam (id int primary key)
insert into isam values (1), (2)
delete from isam where id = 1
set session default_storage_engine = default
create table in_memory (id int primary key) engine = memory
insert into in_memory values (1)
#: only mysql mysql9
create table hole (id int primary key) engine = blackhole
#: only mysql mysql9
set session binlog_rows_query_log_events = 1
insert into kept values (31, 1, 'with its statement beside it')
#: only mysql mysql9
set session binlog_rows_query_log_events = 0
#: only mysql mysql9
set session binlog_transaction_compression = 1
insert into kept values (32, 1, 'compressed')
#: only mysql mysql9
set session binlog_transaction_compression = 0
#: only mysql mysql9
set session binlog_row_value_options = 'PARTIAL_JSON'
#: only mysql mysql9
create table js (id int primary key, j json)
#: only mysql mysql9
insert into js values (1, '{"a": 1, "b": [1, 2, 3]}')
#: only mysql mysql9
update js set j = json_set(j, '$.a', 2, '$.b[1]', 'x')
#: only mysql mysql9
set session binlog_row_value_options = ''
#: only mariadb mariadb11
set session binlog_annotate_row_events = 0
insert into kept values (33, 1, 'without its statement')
#: only mariadb mariadb11
set session binlog_annotate_row_events = 1
#: only mariadb mariadb11
set sql_mode = 'ORACLE'
#: only mariadb mariadb11
create table oracle (id number(10) primary key, c varchar2(20))
#: only mariadb mariadb11
insert into oracle values (1, 'x' || 'y')
#: only mariadb mariadb11
create procedure oracular(n in int) as begin insert into oracle values (n, null); end;
#: only mariadb mariadb11
begin oracular(2); end;
#: only mariadb mariadb11
create package pack as procedure p1; end;
#: only mariadb mariadb11
drop package pack
#: only mariadb mariadb11
drop procedure oracular
#: only mariadb mariadb11
set sql_mode = default
#: only mariadb mariadb11
set sql_mode = 'MSSQL'
#: only mariadb mariadb11
create table [bracketed name] ([the id] int primary key)
#: only mariadb mariadb11
insert into [bracketed name] values (1)
#: only mariadb mariadb11
truncate table [bracketed name]
#: only mariadb mariadb11
insert into [bracketed name] values (2)
#: only mariadb mariadb11
drop table [bracketed name]
#: only mariadb mariadb11
set sql_mode = default
#: only mariadb mariadb11
set statement max_statement_time = 100 for insert into kept values (34, 1, 'a')
#: only mariadb mariadb11
set statement sql_mode = 'ANSI_QUOTES', max_statement_time = 100 for create table stated (id int primary key)
#: only mariadb mariadb11
set statement max_statement_time = 100 for truncate table stated
#: only mariadb mariadb11
set statement lock_wait_timeout = 5 for alter table stated add column v int
#: only mariadb mariadb11
set statement max_statement_time = 100 for drop table stated

#: -- transactions

begin
insert into kept values (40, 1, 'a')
commit
begin work
insert into kept values (41, 1, 'a')
commit work and chain
insert into kept values (42, 1, 'a')
rollback and no chain no release
start transaction with consistent snapshot, read write
insert into kept values (43, 1, 'a')
savepoint a
insert into kept values (44, 1, 'a')
savepoint `odd ``name`
insert into kept values (45, 1, 'a')
rollback to savepoint `odd ``name`
savepoint `commit`
insert into kept values (46, 1, 'a')
rollback to `commit`
savepoint `größe`
insert into kept values (47, 1, 'a')
release savepoint `größe`
savepoint `rollback`
#: only mariadb mariadb11
insert into isam values (3)
rollback work to `rollback`
commit
begin
insert into kept values (48, 1, 'a')
#: only mariadb mariadb11
insert into isam values (4)
savepoint s
rollback
begin
insert into kept values (49, 1, 'a')
create table commits_by_itself (id int primary key)
xa start 'a'
insert into kept values (50, 1, 'a')
xa end 'a'
xa prepare 'a'
xa commit 'a'
xa start 'it''s; odd', x'00ff', 7
insert into kept values (51, 1, 'a')
xa end 'it''s; odd', x'00ff', 7
xa prepare 'it''s; odd', x'00ff', 7
#: only mysql mysql9
xa recover convert xid
#: only mariadb mariadb11
xa recover format = 'sql'
xa rollback 'it''s; odd', x'00ff', 7
xa begin 'one', ''
insert into kept values (52, 1, 'a')
xa end 'one', ''
xa commit 'one', '' one phase
#: only mysql mysql9
xa start ''
#: only mysql mysql9
xa end ''
#: only mysql mysql9
xa rollback ''
lock tables kept write, truncated read
insert into kept values (53, 1, 'a')
unlock tables
do sleep(0)
handler kept open as h
handler h read first
handler h close

#: -- rows in other ways

replace into kept values (1, 5, 'b')
replace kept set id = 60, v = 1
insert ignore into kept values (1, 1, 'a'), (61, 1, 'a')
insert delayed into isam values (5)
insert high_priority into kept set id = 62, v = default
insert into kept (id) select 63
insert into kept (id) select id + 100 from kept where id < 10
insert into kept values (1, 1, 'a') on duplicate key update v = values(v) + 1, id = 64
update low_priority ignore kept set v = 2 where id > 100 order by id desc limit 2
update kept a join kept b on a.id = b.id + 100 set a.v = 3, a.w = 'joined'
update kept, truncated set kept.v = 9, truncated.`truncate` = 3 where kept.id = 3
delete low_priority quick ignore from kept where id = 101
delete a from kept as a where a.id = 103
delete from kept using kept join truncated where kept.id = 104
delete from kept order by id desc limit 1
with n as (select 7 as n) select * from n
create table values_of (id int primary key) select 1 as id union all select 2
#: only mysql mysql9 mariadb11
create table ignored (id int primary key) ignore select 1 as id union all select 1
create table liked like kept
create table if not exists liked like kept
insert into liked select * from kept
create temporary table temp (id int primary key)
insert into temp values (1)
insert into kept (id) select id + 200 from temp
create temporary table temp2 select * from temp
truncate temp
alter table temp add column x int
drop temporary table temp2
create temporary table kept (id int primary key)
insert into kept values (999)
truncate table kept
drop temporary table kept
create temporary table kept (id int primary key)
drop table kept
drop table temp
#: only mysql mysql9
insert into kept values row(210, 1, 'a'), row(211, 1, 'a')
#: only mysql mysql9
insert into liked table kept on duplicate key update v = 1
#: only mysql mysql9
insert into kept (id, v) values (212, 1) as new on duplicate key update v = new.v
#: only mysql mysql9
with n as (select 3 as n) update kept join n on kept.id = n.n set kept.v = 77
#: only mysql mysql9
with n as (select 4 as n) delete kept from kept join n on kept.id = n.n
#: only mysql mysql9
create table as_table (primary key (id)) as table kept
#: only mysql mysql9
create table as_values as values row(1), row(2)
#: only mariadb mariadb11
create table as_values as values (1), (2)
#: only mariadb mariadb11
insert into kept values (213, 1, 'a') returning id, v
#: only mariadb mariadb11
delete from kept where id = 213 returning *
#: only mariadb mariadb11
create or replace table liked like kept
#: only mariadb mariadb11
create or replace table liked (id int primary key) select 5 as id

#: -- definitions

alter table liked engine = innodb
alter table liked force
alter table liked add column a int, add column b int after a, algorithm = copy
alter table liked rename column b to c
alter table liked add index i (c), add constraint u unique (c)
alter table liked drop index i, drop index u
alter table liked convert to character set utf8mb4
alter table liked auto_increment = 1000
alter table liked add constraint positive check (id > 0)
alter table liked drop constraint positive
alter table liked add column g int as (id + 1) stored, add column h int generated always as (id * 2) virtual
alter table liked order by id
alter table liked row_format = dynamic, stats_persistent = 1
create index i on liked (c)
create unique index `odd index` on liked (g) comment 'drop table kept'
drop index i on liked
drop index `odd index` on liked
create fulltext index ft on kept (w)
create table spatial_one (id int primary key, p point not null, spatial index (p))
insert into spatial_one values (1, point(1, 2))
create table every_type (id int primary key, a tinyint unsigned, b decimal(30, 10), c bit(17), d year, e time(6),
  f datetime(3), g set('a', 'b'), h enum('x''y', 'z'), i mediumblob, j longtext, k varbinary(3000), l geometry, m double)
insert into every_type (id, h, l) values (1, 'x''y', point(1, 1))
create table parent (id int primary key)
create table child (id int primary key, p int, constraint `fk ref` foreign key (p) references parent (id) on delete set null)
insert into parent values (1), (2)
insert into child values (1, 1)
alter table child drop foreign key `fk ref`
drop table parent
create table if not exists kept (other int)
create database ${db}_b character set latin1
create table ${db}_b.t (id int primary key)
insert into ${db}_b.t values (1)
create table moved_over (id int primary key)
rename table moved_over to ${db}_b.moved_over
rename table ${db}_b.moved_over to moved_over
alter database ${db}_b character set utf8mb4
use ${db}_b
insert into ${db}.kept values (300, 1, 'from another schema')
truncate ${db}.truncated
create table ${db}.from_afar like t
use ${db}
drop database ${db}_b
drop schema if exists ${db}_b
create table swap_a (id int primary key)
create table swap_b (a int, id int primary key)
insert into swap_a values (1)
insert into swap_b values (1, 2)
rename table swap_a to swap_x, swap_b to swap_a, swap_x to swap_b
insert into swap_a values (1, 3)
insert into swap_b values (4)
drop table swap_a, swap_b
create table optional (id int primary key, a int)
drop table if exists no_such_table, nor_this_one
drop view if exists no_such_view
drop procedure if exists no_such_procedure
#: only mysql mysql9
create table invisible (id int primary key, a int invisible, index i (a) invisible)
#: only mysql mysql9
alter table invisible alter index i visible, alter column a set visible
#: only mysql mysql9
alter table optional add column b int default 7, algorithm = instant
#: only mysql mysql9
create table functional (id int primary key, index f ((id + 1)))
#: only mysql mysql9
alter table functional secondary_engine_attribute = '{"select": 1}'
#: only mysql mysql9
create undo tablespace undo_${db} add datafile 'undo_${db}.ibu'
#: only mysql mysql9
alter undo tablespace undo_${db} set inactive
#: only mysql mysql9
create tablespace ts_${db} add datafile 'ts_${db}.ibd'
#: only mysql mysql9
create table spaced_out (id int primary key) tablespace ts_${db}
#: only mysql mysql9
insert into spaced_out values (1)
#: only mysql mysql9
alter table spaced_out tablespace innodb_file_per_table
#: only mysql mysql9
drop table spaced_out
#: only mysql mysql9
drop tablespace ts_${db}
#: only mysql mysql9
create spatial reference system 4120000 name 'odd' definition 'GEOGCS["odd",DATUM["odd",SPHEROID["odd",6378137,298.257223563]],PRIMEM["odd",0],UNIT["degree",0.017453292519943278],AXIS["Lat",NORTH],AXIS["Lon",EAST]]'
#: only mysql mysql9
drop spatial reference system 4120000
#: only mariadb mariadb11
create sequence s start with 10 increment by 5 cache 10
#: only mariadb mariadb11
select next value for s, nextval(s), setval(s, 100)
#: only mariadb mariadb11
create table sequenced (id int default (next value for s) primary key, v int)
#: only mariadb mariadb11
insert into sequenced (v) values (1), (2)
#: only mariadb mariadb11
alter sequence s restart 1000
#: only mariadb mariadb11
create or replace sequence s2 nocycle
#: only mariadb mariadb11
drop sequence s2
#: only mariadb mariadb11
create table versions (id int primary key, v int) with system versioning
#: only mariadb mariadb11
alter table optional add column if not exists a int, add column if not exists b int, drop column if exists zz
#: only mariadb mariadb11
alter table optional nowait modify column b bigint
#: only mariadb mariadb11
alter online table optional comment 'online'
#: only mariadb mariadb11
create index if not exists i on optional (a)
#: only mariadb mariadb11
drop index if exists i on optional
#: only mariadb mariadb11
rename table if exists no_such_table to nor_this_one
#: only mariadb mariadb11
create table periods (id int primary key, a date not null, b date not null, period for p (a, b))
#: only mariadb mariadb11
insert into periods values (1, '2026-01-01', '2026-12-31')
#: only mariadb mariadb11
create table compressed (id int primary key, c varchar(100) compressed, d text compressed)
#: only mariadb mariadb11
insert into compressed values (1, repeat('x', 100), repeat('y', 100))
#: only mariadb mariadb11
create table native (id uuid primary key, i inet6)
#: only mariadb mariadb11
insert into native values ('01234567-89ab-4def-8123-456789abcdef', '::1')
#: only mariadb mariadb11
drop table if exists optional wait 5
#: only mariadb mariadb11
create or replace table optional (id int primary key)

#: -- partitions

create table parts (id int primary key, v int) partition by range (id) (
  partition p0 values less than (100), partition p1 values less than (200), partition pmax values less than maxvalue)
insert into parts values (1, 1), (101, 1), (201, 1)
alter table parts analyze partition p0
alter table parts check partition all
alter table parts optimize partition p1
alter table parts rebuild partition p0, p1
alter table parts repair partition p1
alter table parts reorganize partition pmax into (partition p2 values less than (300), partition pmax values less than maxvalue)
alter table parts reorganize partition p0, p1 into (partition p01 values less than (200))
insert into parts values (250, 1)
alter table parts remove partitioning
alter table parts partition by hash (id) partitions 4
alter table parts coalesce partition 2
alter table parts add partition partitions 3
insert into parts values (7, 1)
alter table parts partition by key () partitions 2
create table listed (id int, primary key (id)) partition by list (id) (partition a values in (1, 2), partition b values in (3))
insert into listed values (1), (3)
alter table listed add partition (partition c values in (4))
alter table listed truncate partition c

#: -- stored programs

create procedure fill(in n int) comment 'insert into kept'
  begin
    -- insert into kept values (0);
    declare i int default 0;
    while i < n do
      set i = i + 1;
      insert into kept (id) values (400 + i);
    end while;
    /* truncate table kept */
  end
call fill(2)
create procedure prepared() begin set @s = 'insert into kept (id) values (410)'; prepare p from @s; execute p; deallocate prepare p; end
call prepared()
create procedure truncating() begin truncate table truncated; insert into truncated values (5); end
call truncating()
create procedure transacting() begin start transaction; insert into kept (id) values (411); savepoint x; insert into kept (id) values (412); rollback to x; commit; end
call transacting()
create procedure erring() begin declare exit handler for sqlexception insert into kept (id) values (413); insert into kept (id) values (400 + 1); end
call erring()
create function bump(n int) returns int deterministic modifies sql data begin update kept set v = v + 1 where id = n; return n; end
select bump(401)
do bump(402)
insert into truncated values (bump(401) + 2000)
update truncated set `truncate` = bump(402) where `truncate` = 2401
create function pure(n int) returns varchar(20) charset utf8mb4 no sql deterministic return concat('größe ', n)
insert into kept (id, w) values (414, pure(3))
create trigger `odd trigger` before insert on kept for each row begin if new.v is null then set new.v = 0; end if; end
insert into kept (id) values (415)
create trigger writes_elsewhere after insert on liked for each row follows_nothing: begin insert into truncated values (new.id + 1000); end
insert into liked (id) values (500)
drop trigger writes_elsewhere
drop trigger `odd trigger`
create event once_only on schedule at current_timestamp + interval 1 year on completion preserve disable do insert into kept (id) values (0)
alter event once_only rename to renamed_event comment 'truncate table kept'
create event every_hour on schedule every 1 hour starts current_timestamp + interval 1 year do begin delete from kept; truncate kept; end
alter event every_hour disable
drop event renamed_event
drop event if exists every_hour
create algorithm = merge sql security invoker view `odd view` as select /* from */ id from kept with check option
create view of_union as select 1 as a union select 2
drop view `odd view`, of_union
alter procedure fill comment 'another' sql security invoker
alter function pure comment 'another'
drop procedure fill
drop procedure prepared
drop procedure truncating
drop procedure transacting
drop procedure erring
drop function bump
drop function if exists pure
prepare odd from 'insert into kept (id) values (?)'
set @id = 416
execute odd using @id
drop prepare odd
#: only mariadb mariadb11
begin not atomic insert into kept (id) values (417); end
#: only mariadb mariadb11
create or replace procedure again() insert into kept (id) values (418)
#: only mariadb mariadb11
call again()
#: only mariadb mariadb11
execute immediate 'insert into kept (id) values (419)'
#: only mariadb mariadb11
drop procedure if exists again

#: -- accounts

create user 'u_${db}'@'localhost' identified by 'Odd ''pass'' word; truncate table kept'
grant select, insert (id, v), update on ${db}.kept to 'u_${db}'@'localhost'
grant all on ${db}.* to 'u_${db}'@'localhost' with grant option
grant process on *.* to 'u_${db}'@'localhost'
revoke insert (id, v) on ${db}.kept from 'u_${db}'@'localhost'
revoke all privileges, grant option from 'u_${db}'@'localhost'
alter user 'u_${db}'@'localhost' identified by 'another'
alter user 'u_${db}'@'localhost' account lock
alter user 'u_${db}'@'localhost' password expire
#: only mysql mysql9
set password for 'u_${db}'@'localhost' = 'a third'
#: only mariadb mariadb11
set password for 'u_${db}'@'localhost' = password('a third')
create role r_${db}
grant r_${db} to 'u_${db}'@'localhost'
grant select on ${db}.* to r_${db}
#: only mariadb mariadb11
set default role r_${db} for 'u_${db}'@'localhost'
#: only mysql mysql9
set default role r_${db} to 'u_${db}'@'localhost'
rename user 'u_${db}'@'localhost' to 'v_${db}'@'localhost'
drop role r_${db}
drop user 'v_${db}'@'localhost'
drop user if exists 'nobody_${db}'@'%'
create user ''@'odd_${db}.example'
drop user ''@'odd_${db}.example'

#: -- administration

flush tables
flush tables kept, liked
flush privileges
flush status
flush logs
flush binary logs
flush no_write_to_binlog engine logs
flush local tables
analyze table kept, liked
analyze no_write_to_binlog table kept
optimize table kept
optimize local table liked
check table kept extended
checksum table kept, liked
repair table isam
explain insert into kept values (1, 1, 'a')
explain select * from kept
describe kept
show create table kept
show warnings
help 'contents'
#: only mariadb mariadb11
reset query cache
set global general_log = @@global.general_log
set global max_connections = @@global.max_connections
create server srv_${db} foreign data wrapper mysql options (host '127.0.0.1', user 'u', password 'it''s')
alter server srv_${db} options (user 'v')
drop server srv_${db}
#: only mysql mysql9
set persist max_connect_errors = 100
#: only mysql mysql9
reset persist max_connect_errors
#: only mysql9
install plugin auth_socket soname 'auth_socket.so'
#: only mysql9
uninstall plugin auth_socket
#: only mysql9
install component 'file://component_query_attributes'
#: only mysql9
uninstall component 'file://component_query_attributes'
#: only mysql mysql9
lock instance for backup
#: only mysql mysql9
unlock instance
#: only mysql mysql9
create resource group rg_${db} type = user
#: only mysql mysql9
drop resource group rg_${db}
#: only mysql mysql9
analyze table kept update histogram on v with 4 buckets
#: only mysql mysql9
analyze table kept drop histogram on v
#: only mysql mysql9
alter instance reload tls no rollback on error
#: only mariadb mariadb11
analyze format = json select * from kept
#: only mariadb mariadb11
analyze table kept persistent for all
#: only mariadb mariadb11
backup stage start
#: only mariadb mariadb11
backup stage end
#: only mariadb mariadb11
flush tables kept for export
#: only mariadb mariadb11
unlock tables
#: only mariadb mariadb11
create or replace role r2_${db} with admin current_user
#: only mariadb mariadb11
drop role if exists r2_${db}
#: only mariadb mariadb11
set session skip_parallel_replication = 1
#: only mariadb mariadb11
set session gtid_domain_id = 7
insert into kept values (600, 1, 'in a domain of its own')
#: only mariadb mariadb11
set session gtid_domain_id = 0
insert into kept values (601, 1, 'the last')
