-- The predecessor's tutorial: seven statements, thirteen changes.
create table test (id int auto_increment primary key, data varchar(256) character set utf8mb4);
insert into test (data) values ('a');
  -> test write (1)
insert into test (data) values ('b'), ('c'), ('d');
  -> test write (2)
  -> test write (3)
  -> test write (4)
update test set data = 'aa' where id = 1;
  -> test update (1)
update test set data = 'bb' where id = 2;
  -> test update (2)
update test set data = 'cc' where id != 1;
  -> test update (2)
  -> test update (3)
  -> test update (4)
delete from test where id != 1;
  -> test delete (2)
  -> test delete (3)
  -> test delete (4)
delete from test where id = 1;
  -> test delete (1)
