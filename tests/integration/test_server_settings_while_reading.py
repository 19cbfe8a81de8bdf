"""
Settings of the server's log that are changed while it is read, and logs that were written under another setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise

import pytest

from meepo2_cdc.records import KeyPart
from meepo2_cdc.records.position import LogPosition
from tests.reading import Log, Reading, reading
from tests.services import native
from tests.sources import MARIADB, known_sources

Change = tuple[str, str, tuple[KeyPart, ...]]

TABLES = (
    "CREATE TABLE {db}.n (v VARCHAR(40), a INT UNSIGNED, b SMALLINT, PRIMARY KEY (b, a))",
    "CREATE TABLE {db}.w (v INT, k VARCHAR(10) CHARACTER SET latin1, e ENUM('x', 'é'), PRIMARY KEY (e, k))",
)
KINDS = {"mysql": ("FULL", "MINIMAL"), "mariadb": ("FULL", "MINIMAL", "NO_LOG")}


@pytest.fixture(scope="module")
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """The log of a server that nobody else uses."""
    start = getattr(native, request.param)
    with start(tmp_path_factory.mktemp(request.param)) as server, closing(Log(server.dsn)) as found:
        yield found


every_server = pytest.mark.parametrize("log", known_sources(), indirect=True)
every_mariadb = pytest.mark.parametrize("log", [name for name in known_sources() if name in MARIADB], indirect=True)


def write(log: Log, database: str, number: int) -> list[Change]:
    """Rows of a round, and the records that they must give."""
    big = 4_000_000_000 + number
    log.ask(f"INSERT INTO {database}.n VALUES ('{'v' * number}', {big}, -{number}), (NULL, 1, {number})")
    log.ask(f"INSERT INTO {database}.w VALUES (1, 'ü{number}', 'é')")
    log.ask(f"UPDATE {database}.w SET v = NULL WHERE k = 'ü{number}'")
    log.ask(f"UPDATE {database}.n SET a = a + 100 WHERE b = -{number}")
    return [
        ("n", "write", (-number, big)),
        ("n", "write", (number, 1)),
        ("w", "write", ("é", f"ü{number}")),
        ("w", "update", ("é", f"ü{number}")),
        ("n", "delete", (-number, big)),
        ("n", "write", (-number, big + 100)),
    ]


def changes(reader: Reading, end: LogPosition) -> list[Change]:
    return [(one.action.table, one.action.action.value, one.action.pk) for one in reader.up_to(end)]


def read_again(log: Log, database: str, begin: LogPosition) -> list[Change]:
    """As a capture that was started only now."""
    with reading(log, database, begin=begin) as reader:
        return changes(reader, log.end())


def go_through(log: Log, variable: str, values: Sequence[str]) -> None:
    """The same rows under each value, read at once, and once more from the beginning whatever the value is then."""
    with log.database() as database:
        for table in TABLES:
            log.ask(table.format(db=database))
        begin = log.end()
        expected: list[Change] = []
        with reading(log, database) as reader:
            for number, value in enumerate(values, 1):
                log.ask(f"SET GLOBAL {variable} = {value}")
                round_ = write(log, database, number)
                assert changes(reader, log.end()) == round_, f"after {variable} = {value}"
                expected += round_
                assert read_again(log, database, begin) == expected, f"from the start, now {variable} = {value}"


@every_server
def test_row_metadata_may_change_while_the_log_is_read(log: Log) -> None:
    """The table maps before and behind the change look different for one table; the keys are the same."""
    kinds = KINDS["mariadb" if log.server.flavor == "mariadb" else "mysql"]
    go_through(log, "binlog_row_metadata", [*kinds, *kinds, *reversed(kinds)])


@every_server
def test_rows_with_metadata_keep_their_key_when_the_server_logs_none_any_more(log: Log) -> None:
    """The key they were written with is in the log; the one that the table has now is another."""
    log.ask("SET GLOBAL binlog_row_metadata = FULL")
    with log.database() as database:
        log.ask(f"CREATE TABLE {database}.t (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a))")
        begin = log.end()
        log.ask(f"INSERT INTO {database}.t VALUES (1, 10)")
        log.ask(f"ALTER TABLE {database}.t DROP PRIMARY KEY, ADD PRIMARY KEY (b)")
        log.ask("SET GLOBAL binlog_row_metadata = MINIMAL")
        log.ask(f"INSERT INTO {database}.t VALUES (2, 20)")
        assert read_again(log, database, begin) == [("t", "write", (1,)), ("t", "write", (20,))]


@every_server
def test_checksums_may_be_turned_off_and_on_while_the_log_is_read(log: Log) -> None:
    """Four bytes too many or too few at the end of an event, and its last row is another row or none."""
    go_through(log, "binlog_checksum", ["NONE", "CRC32", "NONE", "NONE", "CRC32"])


@every_mariadb
def test_compressed_events_of_mariadb_give_the_records_of_plain_ones(log: Log) -> None:
    """Readers that do not know them pass over them, and lose every row above 256 bytes."""
    log.ask("SET GLOBAL log_bin_compress_min_len = 10")
    begin = log.end()
    go_through(log, "log_bin_compress", ["ON", "OFF", "ON"])
    log.ask("SET GLOBAL log_bin_compress = ON")
    with log.database() as database, reading(log, database) as reader:
        log.ask(f"CREATE TABLE {database}.t (id INT PRIMARY KEY, v LONGTEXT) /* {'x' * 500} */")
        log.ask(f"INSERT INTO {database}.t VALUES (1, REPEAT('long', 10000)), (2, RANDOM_BYTES(20000)), (3, '')")
        log.ask(f"DELETE FROM {database}.t WHERE id < 3")
        log.ask(f"TRUNCATE /* {'y' * 500} */ {database}.t")
        expected = [
            ("write", (1,)),
            ("write", (2,)),
            ("write", (3,)),
            ("delete", (1,)),
            ("delete", (2,)),
            ("truncate", ()),
        ]
        assert [change[1:] for change in changes(reader, log.end())] == expected
    log.ask("SET GLOBAL log_bin_compress = OFF")
    assert {
        "Query_compressed",
        "Write_rows_compressed_v1",
        "Update_rows_compressed_v1",
        "Delete_rows_compressed_v1",
    } <= logged(log, begin)


def logged(log: Log, begin: LogPosition) -> set[str]:
    """The types of events behind a position of the present file."""
    assert log.end().file == begin.file
    return {row[2] for row in log.ask(f"SHOW BINLOG EVENTS IN '{begin.file}' FROM {begin.offset}")}


FULL_PACKET = 0xFFFFFF
AROUND = (-2, -1, 0, 1, 2)


@every_server
def test_events_that_just_fill_a_packet_are_read_whole(log: Log) -> None:
    """A packet of 16 MiB less one byte is followed by another one, which may be empty."""
    with log.database() as database, reading(log, database) as reader:
        log.ask(f"CREATE TABLE {database}.t (v LONGBLOB, id INT PRIMARY KEY)")
        sizes = []
        overhead = 100
        for number, off in enumerate((0, *AROUND)):
            begin = log.end()
            log.ask(f"INSERT INTO {database}.t VALUES (REPEAT('x', {FULL_PACKET - overhead + off}), {number})")
            size = rows_event_size(log, begin)
            sizes.append(size + 1 - FULL_PACKET)  # a byte in front says that it is an event
            overhead += sizes[0] if number == 0 else 0
        assert sizes[1:] == list(AROUND)
        assert changes(reader, log.end()) == [("t", "write", (number,)) for number in range(len(sizes))]


def rows_event_size(log: Log, begin: LogPosition) -> int:
    """By where the next event begins: MariaDB 11.4 leaves out where events within a transaction end."""
    events = log.ask(f"SHOW BINLOG EVENTS IN '{begin.file}' FROM {begin.offset}")
    (size,) = (behind[1] - event[1] for event, behind in pairwise(events) if str(event[2]).startswith("Write_rows"))
    return int(size)
