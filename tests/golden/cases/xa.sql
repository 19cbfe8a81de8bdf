-- Rows of an XA transaction come when it is committed, by whichever session, and never when it is rolled back.
-- logged: XA_prepare
create table t (id int primary key, v int);
xa start '${db}-1';
insert into t values (1, 1), (2, 2);
xa end '${db}-1';
xa prepare '${db}-1';
read;
xa commit '${db}-1';
  -> t write (1)
  -> t write (2)
xa start '${db}-2', 'branch', 7;
update t set v = 3;
delete from t where id = 2;
xa end '${db}-2', 'branch', 7;
xa prepare '${db}-2', 'branch', 7;
xa rollback '${db}-2', 'branch', 7;
xa start '${db}-3';
update t set id = 5 where id = 1;
xa end '${db}-3';
xa commit '${db}-3' one phase;
  -> t delete (1)
  -> t write (5)
xa start '${db}-4';
xa end '${db}-4';
xa prepare '${db}-4';
xa commit '${db}-4';
xa start '${db}-1';
insert into t values (6, 6);
xa end '${db}-1';
xa prepare '${db}-1';
xa commit '${db}-1';
  -> t write (6)
delete from t;
  -> t delete (2)
  -> t delete (5)
  -> t delete (6)
