-- Names of tables and columns may hold anything.
create table `back``tick` (`id` int primary key);
create table `quote'"` (`a'b` int primary key);
create table `with space.and dot` (`dot.column` int primary key);
create table `größe` (`länge` int primary key, `表` int);
create table `percent%s_%d` (`%s` int primary key);
create table `{brace}` (`{x}` int primary key);
create table `semi;colon--` (`select` int primary key);
insert into `back``tick` values (1);
  -> `back``tick` write (1)
insert into `quote'"` values (2);
  -> `quote'"` write (2)
insert into `with space.and dot` values (3);
  -> `with space.and dot` write (3)
insert into `größe` values (4, 4);
  -> `größe` write (4)
insert into `percent%s_%d` values (5);
  -> `percent%s_%d` write (5)
insert into `{brace}` values (6);
  -> `{brace}` write (6)
insert into `semi;colon--` values (7);
  -> `semi;colon--` write (7)
read;
truncate `back``tick`;
  -> `back``tick` truncate ()
truncate `größe`;
  -> `größe` truncate ()
truncate `semi;colon--`;
  -> `semi;colon--` truncate ()
