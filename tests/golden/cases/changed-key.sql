-- An update of the key is a delete of the old key and a write of the new.
create table seat (row_no int, col_no int, taken int, primary key (row_no, col_no));
insert into seat values (1, 7, 0), (2, 7, 0);
  -> seat write (1, 7)
  -> seat write (2, 7)
update seat set col_no = 8;
  -> seat delete (1, 7)
  -> seat write (1, 8)
  -> seat delete (2, 7)
  -> seat write (2, 8)
update seat set taken = 1;
  -> seat update (1, 8)
  -> seat update (2, 8)
update seat set col_no = col_no + 1, taken = 2 order by row_no desc;
  -> seat delete (2, 8)
  -> seat write (2, 9)
  -> seat delete (1, 8)
  -> seat write (1, 9)
