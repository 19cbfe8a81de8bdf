-- LOAD DATA LOCAL gives the rows it loads.
create table words (word varchar(20) primary key, n int);
load data local infile '${files}/words.tsv' into table words character set utf8mb4;
  -> words write ('one')
  -> words write ('zwölf')
  -> words write ('')
