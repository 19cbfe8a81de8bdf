"""
The sink of elasticsearch_sync, beside what the client's own `helpers.streaming_bulk` does with the same documents.

    python -m tests.benchmarks.connectors.elasticsearch_sync [DOCUMENTS] [ROUNDS]

One thread each, requests of 500, into the Elasticsearch of the services tool; every round is a new index, and the order
changes from round to round.  The sink takes its rows out of memory and writes them with external versions.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from functools import partial
from statistics import median
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk
from sqlalchemy import Column, MetaData, Table, types
from sqlalchemy.dialects import mysql

from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Context, Sink
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.elasticsearch_sync import connector
from meepo2_connectors.elasticsearch_sync.settings import Settings
from tests.services import addresses

DOCUMENTS, ROUNDS = 50_000, 5
BATCH = 500
FLOOR = 0.8
OURS, ALONE, VERSIONED = "the sink", "streaming_bulk alone", "streaming_bulk with the same versions"
MAPPINGS: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "text"},
        "email": {"type": "keyword"},
        "score": {"type": "integer"},
        "balance": {"type": "keyword"},
        "seen": {"type": "date"},
    }
}


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
    columns: list[Column[Any]] = [
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


def batches(records: Sequence[TableAction]) -> Iterator[Sequence[TableAction]]:
    return (records[n : n + BATCH] for n in range(0, len(records), BATCH))


def by_the_sink(url: str, stem: str, records: Sequence[TableAction], rows: object) -> None:
    own = Settings.model_validate({"urls": [url], "index": stem + "{table}"})
    sink: Sink = connector.sink(own, Context("bench", lambda: rows))  # type: ignore[arg-type, return-value]
    sink.open()
    with closing(sink):
        for batch in batches(records):
            sink.apply(batch)


def by_the_client(
    client: Elasticsearch, index: str, documents: Sequence[Mapping[str, Any]], versions: Sequence[int]
) -> None:
    """With versions as the sink has them, or without any."""
    plain = ({"_index": index, "_id": str(one["id"]), "_source": one} for one in documents)
    versioned = ({**one, "version": seq, "version_type": "external"} for one, seq in zip(plain, versions, strict=True))
    actions = versioned if versions else plain
    for _ in streaming_bulk(client, actions, chunk_size=BATCH):
        pass


def rate(client: Elasticsearch, index: str, count: int, work: Callable[[], None]) -> float:
    """Documents a second into a new index, which is removed; all must be there."""
    client.indices.create(index=index, mappings=MAPPINGS, settings={"number_of_replicas": 0})
    try:
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        client.indices.refresh(index=index)
        found = client.count(index=index)["count"]
        if found != count:
            raise SystemExit(f"{index} has {found} of {count} documents")
    finally:
        client.indices.delete(index=index)
    return count / seconds


def main(count: int, rounds: int) -> None:
    url = addresses.address("elasticsearch")
    if url is None:
        raise SystemExit("no elasticsearch: run `python -m tests.services up elasticsearch`")
    rows, changes = in_memory(count), Changes()
    records = [changes.update(n) for n in range(count)]
    documents = [
        {**one, "balance": f"{one['balance']:f}", "seen": one["seen"].isoformat()} for one in map(row, range(count))
    ]
    versions = [one.seq for one in records]
    found: dict[str, list[float]] = {OURS: [], ALONE: [], VERSIONED: []}
    with closing(Elasticsearch(url, request_timeout=60)) as client:
        for number in range(rounds + 1):
            stem = f"bench-{uuid.uuid4().hex[:8]}-"
            runs: dict[str, Callable[[], None]] = {
                OURS: partial(by_the_sink, url, stem, records, rows),
                ALONE: partial(by_the_client, client, f"{stem}user", documents, ()),
                VERSIONED: partial(by_the_client, client, f"{stem}user", documents, versions),
            }
            for name in sorted(runs, reverse=bool(number % 2)):
                measured = rate(client, f"{stem}user", count, runs[name])
                if number:  # the first warms the JVM
                    found[name].append(measured)
    show(found, count, rounds)


def show(found: Mapping[str, list[float]], count: int, rounds: int) -> None:
    """Medians; the ratios are those within one round, as a machine that others use is not the same in the next."""
    print(f"{count:,} documents, {rounds} rounds, medians (lowest to highest)")
    ratio = {name: median(one / other for one, other in zip(found[OURS], found[name], strict=True)) for name in found}
    for name, rates in found.items():
        told = "" if name == OURS else f"   the sink does {ratio[name]:.0%} of this"
        print(f"  {name:36} {median(rates):8,.0f} documents/s  ({min(rates):,.0f} to {max(rates):,.0f}){told}")
    print(f"  the floor is {FLOOR:.0%}: {'pass' if ratio[ALONE] >= FLOOR else 'FAIL'}")
    if ratio[ALONE] < FLOOR:
        raise SystemExit(1)


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*(given + [DOCUMENTS, ROUNDS][len(given) :]))
