-- Tables whose names differ in case or accents only are different tables.
create table tub (a int, b int, primary key (a));
create table `TUB` (a int, b int, primary key (b));
create table `tüb` (a int, b int, primary key (b, a));
insert into tub values (1, 2);
  -> tub write (1)
insert into `TUB` values (1, 2);
  -> TUB write (2)
insert into `tüb` values (1, 2);
  -> `tüb` write (2, 1)
