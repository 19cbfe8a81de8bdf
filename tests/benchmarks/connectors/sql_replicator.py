"""
The SQL replicator from MySQL into PostgreSQL, beside what the driver alone does with the same rows, and beside reading
them from the source.

    python -m tests.benchmarks.connectors.sql_replicator [ROWS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import Context
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.sql_replicator import connector
from meepo2_connectors.sql_replicator.settings import Settings
from tests.scenes import Server
from tests.services import native

ROWS = 100_000
BATCH = 500
THREADS = 4
TABLE = (
    "CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, customer INT NOT NULL, email VARCHAR(80), total DECIMAL(12,2),"
    " state ENUM('new','paid','sent'), created DATETIME(3), note VARCHAR(200))"
)
COLUMNS = "id, customer, email, total, state, created, note"


def fill(server: Server, rows: int) -> None:
    server.run("CREATE DATABASE shop CHARACTER SET utf8mb4", TABLE)
    numbers = range(1, rows + 1)
    with server.connect("shop") as connection, connection.cursor() as cursor:
        connection.begin()
        cursor.executemany(
            f"INSERT INTO orders ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [(n, n % 9999, f"somebody.{n}@example.com", n / 100, n % 3 + 1, "2026-07-01 12:00:00.123", "x" * (n % 90))
             for n in numbers],
        )  # fmt: skip
        connection.commit()


def by_the_sink(url: str, rows: Any, records: Sequence[TableAction], threads: int) -> None:
    own = Settings.model_validate({"target_url": url, "on_missing_table": "create"})
    sink = connector.sink(own, Context("bench", source_rows=lambda: rows))
    sink.open()
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(sink.apply, batches))


def by_copy(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE plain (LIKE orders INCLUDING ALL)")
        with cursor.copy(f"COPY plain ({COLUMNS}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def by_inserts(url: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """What an ordinary program does: INSERT ... VALUES (...), (...) ON CONFLICT, committed by 500."""
    names = COLUMNS.split(", ")
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[1:])
    one = f"({', '.join(['%s'] * len(names))})"
    with psycopg.connect(url) as connection:
        for at in range(0, len(rows), BATCH):
            some = rows[at : at + BATCH]
            connection.execute(
                f"INSERT INTO orders ({COLUMNS}) VALUES {', '.join([one] * len(some))}"
                f" ON CONFLICT (id) DO UPDATE SET {updates}",
                [value for row in some for value in row],
            )
            connection.commit()


def read(rows: SourceRows, records: Sequence[TableAction]) -> None:
    for at in range(0, len(records), BATCH):
        rows.fetch("shop", "orders", [one.pk for one in records[at : at + BATCH]])


def rate(count: int, run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return count / (time.perf_counter() - start)


def main(count: int) -> None:
    with TemporaryDirectory() as temporary:
        places = [Path(temporary, name) for name in ("source", "target")]
        for place in places:
            place.mkdir()
        with native.mysql(places[0]) as source, native.postgres(places[1]) as target:
            fill(Server(source.dsn), count)
            compare(source.dsn, target.url, count)


def compare(dsn: str, url: str, count: int) -> None:
    rows = SourceRows(dsn)
    changes = Changes("shop", "orders")
    records = [changes.write(n) for n in range(1, count + 1)]
    values = rows.fetch("shop", "orders", [one.pk for one in records])
    table = rows.table("shop", "orders")
    assert table is not None
    held = InMemoryRows([table])
    for pk, row in values.items():
        held.put("shop", "orders", pk, row)
    plain = [tuple(row.values()) for row in values.values()]
    found = {
        "the sink, inserting, one thread": lambda: by_the_sink(url, rows, records, 1),
        "the sink, updating, one thread": lambda: by_the_sink(url, rows, records, 1),
        f"the sink, updating, {THREADS} threads": lambda: by_the_sink(url, rows, records, THREADS),
        "the sink, updating, rows from memory": lambda: by_the_sink(url, held, records, 1),
        "reading them from the source alone": lambda: read(rows, records),
        "psycopg alone: INSERT ... VALUES ... ON CONFLICT, updating": lambda: by_inserts(url, plain),
        "psycopg alone: COPY into an empty table": lambda: by_copy(url, plain),
    }
    for name, run in found.items():
        print(f"{rate(count, run):12,.0f} rows/s   {name}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
