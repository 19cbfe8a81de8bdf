-- A table without transactions: every statement counts, also within what is rolled back.
create table m (id int primary key, v int) engine = myisam;
insert into m values (1, 1), (2, 2);
  -> m write (1)
  -> m write (2)
update m set v = 3;
  -> m update (1)
  -> m update (2)
set autocommit = 0;
delete from m where id = 1;
  -> m delete (1)
rollback;
set autocommit = 1;
delete from m;
  -> m delete (2)
read;
truncate m;
  -> m truncate ()
