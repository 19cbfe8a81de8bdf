"""
The replicator's sink, beside what the client alone can do with the same rows, and with a real source beside what
reading those rows alone takes.

    python -m tests.benchmarks.connectors.redis_replicator [ROWS]

Rows are of six columns; the source is the MariaDB of the services tool.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pymysql
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Column, MetaData, Table, types
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import make_url

from meepo2_cdc.config import SourceSettings
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import Context, Sink
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.redis_replicator import connector
from meepo2_connectors.redis_replicator.settings import Settings
from tests.benchmarks.connectors.redis_server import batches, own_redis, rates, show, url_of
from tests.services import addresses

ROWS = 50_000
OURS = "the sink, hashes, batches of 500, one thread"
CREATE = """
CREATE TABLE user (id INT PRIMARY KEY, name VARCHAR(40), email VARCHAR(80), score INT, balance DECIMAL(10,2),
                   seen DATETIME)
"""


def row(n: int) -> dict[str, Any]:
    return {
        "id": n,
        "name": f"name of {n}",
        "email": f"user{n}@shop.example",
        "score": n * 7 % 1000,
        "balance": Decimal(n) / 100,
        "seen": datetime(2026, 7, 1, 12, n % 60, n // 60 % 60),  # noqa: DTZ001 - as DATETIME has none
    }


def in_memory(count: int) -> InMemoryRows:
    columns = [
        Column("id", mysql.INTEGER, primary_key=True),
        Column("name", types.String(40)),
        Column("email", types.String(80)),
        Column("score", mysql.INTEGER),
        Column("balance", mysql.DECIMAL(10, 2)),
        Column("seen", mysql.DATETIME),
    ]
    rows = InMemoryRows([Table("user", MetaData(), *columns, schema="shop")])
    for n in range(count):
        rows.put("shop", "user", (n,), row(n))
    return rows


@contextmanager
def in_mariadb(count: int) -> Iterator[tuple[SourceRows, str]]:
    """The rows and the name of their database."""
    dsn = addresses.address("mariadb")
    if dsn is None:
        raise SystemExit("no mariadb: run `python -m tests.services up mariadb`")
    url, database = make_url(dsn), f"bench_{uuid.uuid4().hex[:10]}"
    rows = SourceRows.from_source(SourceSettings(dsn=SecretStr(dsn), tls_mode="disabled"))
    with closing(
        pymysql.connect(
            host=url.host or "", port=url.port or 3306, user=url.username or "", password=url.password or "",
            autocommit=True,
        )
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        try:
            cursor.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
            cursor.execute(f"USE {database}")
            cursor.execute(CREATE)
            for some in batches([tuple(row(n).values()) for n in range(count)], 5000):
                cursor.executemany("INSERT INTO user VALUES (%s, %s, %s, %s, %s, %s)", some)
            yield rows, database
        finally:
            rows.close()
            cursor.execute(f"DROP DATABASE IF EXISTS {database}")


def by_the_sink(redis: Redis, records: Sequence[TableAction], rows: object, mode: str) -> None:
    own = Settings.model_validate({"url": url_of(redis), "namespace": "bench", "mode": mode})
    sink: Sink = connector.sink(own, Context("bench", lambda: rows))  # type: ignore[arg-type, return-value]
    sink.open()
    for batch in batches(records):
        sink.apply(batch)
    redis.ping()


def prepared(count: int) -> list[tuple[str, dict[str, str]]]:
    return [(f"bench:shop.user:{n}", {name: str(value) for name, value in row(n).items()}) for n in range(count)]


def by_the_client(redis: Redis, made: list[tuple[str, dict[str, str]]], as_json: bool) -> None:
    for some in batches(made):
        with redis.pipeline(transaction=False) as pipeline:
            for name, fields in some:
                if as_json:
                    pipeline.set(name, json.dumps(fields))
                else:
                    pipeline.hset(name, mapping=fields)  # type: ignore[arg-type]
            pipeline.execute()


def by_reading(rows: SourceRows, schema: str, count: int) -> None:
    for some in batches([(n,) for n in range(count)]):
        rows.fetch(schema, "user", some)


def main(count: int) -> None:
    memory, made = in_memory(count), prepared(count)
    changes = Changes()
    records = [changes.update(n) for n in range(count)]
    with own_redis() as redis, in_mariadb(count) as (source, database):
        theirs = Changes(database)
        real = [theirs.update(n) for n in range(count)]
        found = rates(redis, {
            OURS: (count, lambda: by_the_sink(redis, records, memory, "hash")),
            "the same, JSON": (count, lambda: by_the_sink(redis, records, memory, "json")),
            "the same, invalidation": (count, lambda: by_the_sink(redis, records, memory, "invalidate")),
            "redis-py alone: pipelined HSET of the same, prepared": (count, lambda: by_the_client(redis, made, False)),
            "redis-py alone: pipelined SET of JSON": (count, lambda: by_the_client(redis, made, True)),
            "the sink, hashes, rows out of MariaDB": (count, lambda: by_the_sink(redis, real, source, "hash")),
            "reading these rows alone": (count, lambda: by_reading(source, database, count)),
        })  # fmt: skip
    show(found, OURS)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
