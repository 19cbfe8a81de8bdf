"""
The keys of a snapshot against those of the log: the same bytes for the same row, whatever the type and the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest

from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.capture.snapshot.chunks import ChunkReader, TableRead
from meepo2_cdc.errors import SourceUnavailable
from meepo2_cdc.records.position import gtid_set
from meepo2_cdc.records.snapshot import TableName
from tests.integration.test_key_types import KEYS, Tables
from tests.reading import Log, reading
from tests.sources import known_sources, source_run

LIMIT = 2
"""So few rows a chunk that nearly every value is one that the next chunk goes on behind."""


@pytest.fixture(scope="module", params=known_sources())
def source(request: pytest.FixtureRequest) -> Iterator[tuple[Log, str]]:
    with source_run(request.param, "full") as (log, server, _):
        yield log, server


def snapshotted(log: Log, database: str, tables: Sequence[str]) -> dict[str, list[bytes]]:
    """All keys of each table, in the order in which chunks of two rows gave them."""
    end, executed = log.server.end()
    at = Position(end.file, end.offset, gtid_set(log.server.flavor, executed or ""))
    reader = ChunkReader(log.source, lambda: log.server.flavor)
    found: dict[str, list[bytes]] = {}
    for name in tables:
        read = TableRead(TableName(database, name), None, None, None, "")
        found[name] = []
        while (chunk := reader.read(read, LIMIT, at, log.server.identity)) is not None:
            assert chunk.watermark.is_reached(at) or log.server.end()[0] != end
            found[name] += chunk.keys
    reader.close()
    return found


def logged(log: Log, database: str, fill: Sequence[str]) -> dict[str, list[bytes]]:
    """The keys of rows that are written now, as the log's path gives them."""
    with reading(log, database) as reader, log.connect(database) as session, session.cursor() as cursor:
        for statement in fill:
            cursor.execute(statement)
        found = defaultdict(list)
        for rows in reader.rows_up_to(log.end()):
            found[rows.layout.table] += rows.keys
        return dict(found)


def test_a_snapshot_gives_every_type_of_key_the_bytes_that_the_log_gives_it(source: tuple[Log, str]) -> None:
    """Other bytes are another key: the row would be there twice, and its delete would miss one of them."""
    log, server = source
    keys = [key for key in KEYS if server in key.servers]
    with log.database() as database:
        tables = Tables(log, database)
        with reading(log, database) as reader:
            tables.create(keys)
            tables.fill(keys)
            by_log: dict[str, set[bytes]] = defaultdict(set)
            for rows in reader.rows_up_to(log.end()):
                by_log[rows.layout.table] |= set(rows.keys)
        names = [f"k{number}" for number in range(len(keys))]
        by_snapshot = snapshotted(log, database, names)
    wrong = [
        f"{key.declared}: {sorted(by_snapshot[name])} instead of {sorted(by_log[name])}"
        for name, key in zip(names, keys, strict=True)
        if set(by_snapshot[name]) != by_log[name]
    ]
    assert wrong == []


COMPOSITES = {
    "two": "a INT, b VARCHAR(10), PRIMARY KEY (a, b)",
    "behind": "x INT, b CHAR(3), a BIGINT UNSIGNED, PRIMARY KEY (b, a)",
    "four": "a TINYINT, b ENUM('z','y','x'), c DATE, d DECIMAL(5,2), PRIMARY KEY (a, b, c, d)",
    "cased": "a VARCHAR(10) COLLATE utf8mb4_general_ci, b BINARY(2), PRIMARY KEY (a, b)",
    "unique_key": "a INT NOT NULL, b VARCHAR(5) NOT NULL, z INT, UNIQUE KEY other (b, a)",
}
VALUES = {
    "two": [f"({n % 3}, '{text}')" for n in range(6) for text in ("a", "B", "c", "ä")][:12],
    "behind": [f"(1, '{text}', {n})" for text in ("a", "b") for n in (0, 1, 18446744073709551615)],
    "four": [f"({a}, {b}, '2026-01-0{c}', {d})" for a in (-1, 0) for b in (1, 3) for c in (1, 2) for d in (-0.5, 10)],
    "cased": [f"('{a}', '{b}')" for a in ("b", "A", "a c") for b in ("x", "y")],
    "unique_key": ["(1, 'b', 1)", "(2, 'b', 1)", "(1, 'c', 1)"],
}


def test_composite_keys_come_whole_and_each_once(source: tuple[Log, str]) -> None:
    """A comparison of only the first column would skip the rest of its rows, or never end."""
    log, _ = source
    with log.database() as database:
        with log.connect(database) as session, session.cursor() as cursor:
            for name, columns in COMPOSITES.items():
                cursor.execute(f"CREATE TABLE {name} ({columns})")
        fill = [f"INSERT IGNORE INTO {name} VALUES {', '.join(VALUES[name])}" for name in COMPOSITES]
        by_log = logged(log, database, fill)
        by_snapshot = snapshotted(log, database, list(COMPOSITES))
    assert {name: sorted(found) for name, found in by_snapshot.items()} == {
        name: sorted(found) for name, found in by_log.items()
    }


def test_a_chunk_of_another_server_is_not_taken_for_one_of_the_log(source: tuple[Log, str]) -> None:
    """While a failover is under way, the address leads to a server that may lack what the stream has given out."""
    log, _ = source
    with log.database() as database:
        log.ask(f"CREATE TABLE {database}.t (id INT PRIMARY KEY)")
        end, executed = log.server.end()
        at = Position(end.file, end.offset, gtid_set(log.server.flavor, executed or ""))
        reader = ChunkReader(log.source, lambda: log.server.flavor)
        name = TableName(database, "t")
        with pytest.raises(SourceUnavailable, match="leads to server"):
            reader.read(TableRead(name, None, None, None, ""), LIMIT, at, "the one before")
        chunk = reader.read(TableRead(name, None, None, None, ""), LIMIT, at, log.server.identity)
        assert chunk is not None
        assert (chunk.keys, chunk.is_last) == ([], True)
        reader.close()
