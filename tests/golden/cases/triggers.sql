-- What a trigger changes comes with what set it off.
create table t (id int primary key, v int);
create table journal (n int auto_increment primary key, id int);
create table total (name varchar(10) primary key, v int);
insert into total values ('t', 0);
  -> total write ('t')
create trigger t_insert after insert on t for each row
  begin
    insert into journal (id) values (new.id);
    update total set v = v + new.v where name = 't';
  end;
create trigger t_delete before delete on t for each row insert into journal (id) values (old.id);
insert into t values (1, 5);
  -> t write (1)
  -> journal write (1)
  -> total update ('t')
delete from t;
  -> journal write (2)
  -> t delete (1)
drop trigger t_delete;
