"""
An Elasticsearch as tests of its connector meet it: indexes of their own, what lies in them, and a source in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy
from elasticsearch import Elasticsearch
from sqlalchemy import Column, MetaData, Table

from meepo2_cdc.replay.keys import KeyMismatch
from meepo2_cdc.replay.sink import Context, Sink
from meepo2_cdc.testing import InMemoryRows
from meepo2_connectors.elasticsearch_sync import connector
from meepo2_connectors.elasticsearch_sync.settings import Settings
from meepo2_connectors.key_text import Key
from tests.services import addresses, native

SYNC = (
    "{cluster: [monitor], indices: [{names: ['shop*', 't*'], "
    "privileges: [create_index, write, read, view_index_metadata, maintenance]}]}"
)
"""The rights that the README names, as roles.yml has them."""
LIMITED = "{cluster: [monitor], indices: [{names: ['t*'], privileges: [read, view_index_metadata]}]}"


class Rows(InMemoryRows):
    """A source whose keys are of as many columns as the key that is asked for has; `after_reading` is called once."""

    def __init__(self, parts: int = 1) -> None:
        key = [Column(f"k{n}", sqlalchemy.LargeBinary, primary_key=True) for n in range(parts)]
        data = [Column(name, sqlalchemy.String) for name in ("data", "gone")]
        table = Table("user", MetaData(), *key, *data, schema="shop")
        super().__init__([table])
        self.after_reading: Callable[[], None] = lambda: None
        self.of_another_form: set[Key] = set()
        self.reads = 0

    def write(self, pk: Key, data: Any = None) -> None:
        self.put("shop", "user", pk, {**{f"k{n}": part for n, part in enumerate(pk)}, "data": data or f"of {pk}"})

    def delete(self, pk: Key) -> None:
        self.remove("shop", "user", pk)

    def fetch(self, schema: str, table: str, pks: Sequence[Key]) -> dict[Key, dict[str, Any]]:
        self.reads += 1
        if wrong := self.of_another_form & set(pks):
            raise KeyMismatch("the key was changed", list(wrong))
        found = super().fetch(schema, table, pks)
        call, self.after_reading = self.after_reading, lambda: None
        call()
        return found

    def table(self, schema: str, table: str) -> Table | None:
        """The same for every name, so that tests may have more than one table."""
        return super().table("shop", "user")


def sink(url: str, prefix: str, rows: object, **settings: object) -> Sink:
    own = Settings.model_validate({"urls": [url], "index": "{prefix}-{table}", **settings})
    return connector.sink(own, Context(prefix, lambda: rows))  # type: ignore[arg-type, return-value]


def contents(client: Elasticsearch, index: str) -> dict[str, Any]:
    """All documents of an index by their ids; none where there is no such index, or it is only just being made."""
    asked = client.options(ignore_status=(404, 503))
    asked.indices.refresh(index=index)
    found: dict[str, Any] = {}
    after: list[Any] | None = None
    while True:
        answer = asked.search(index=index, size=5000, sort=["_doc"], search_after=after)
        hits = answer.body["hits"]["hits"] if answer.meta.status == 200 else []
        if not hits:
            return found
        found |= {one["_id"]: one["_source"] for one in hits}
        after = hits[-1]["sort"]


def remove_indexes(client: Elasticsearch, prefix: str) -> None:
    for index in client.indices.get(index=f"{prefix}*", filter_path="*.settings.index.uuid").body:
        client.options(ignore_status=404).indices.delete(index=index)


@pytest.fixture(scope="session")
def elasticsearch_url() -> str:
    """URL of a real Elasticsearch."""
    found = addresses.address("elasticsearch")
    if found is None:
        variable = addresses.VARIABLES["elasticsearch"]
        pytest.fail(f"no elasticsearch: run `python -m tests.services up elasticsearch`, or set {variable}")
    return found


@pytest.fixture(scope="session")
def elasticsearch(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with closing(Elasticsearch(elasticsearch_url, request_timeout=60)) as one:
        yield one


@pytest.fixture(scope="session")
def own_elasticsearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.PrivateElasticsearch]:
    """One that may be harmed, with accounts."""
    with native.elasticsearch(tmp_path_factory.mktemp("elasticsearch"), {"sync": SYNC, "limited": LIMITED}) as server:
        yield server


@pytest.fixture
def elasticsearch_admin(own_elasticsearch: native.PrivateElasticsearch) -> Iterator[Elasticsearch]:
    """A client of that one which may do everything."""
    account = ("admin", own_elasticsearch.password)
    with closing(Elasticsearch(own_elasticsearch.url, basic_auth=account, request_timeout=60)) as one:
        yield one


@contextmanager
def having(client: Elasticsearch, index: str, **settings: object) -> Iterator[None]:
    """With other settings of an index for a while; dots are double underscores."""
    changed = {name.replace("__", "."): value for name, value in settings.items()}
    client.indices.put_settings(index=index, settings=changed)
    try:
        yield
    finally:
        client.indices.put_settings(index=index, settings=dict.fromkeys(changed))


def forgotten(client: Elasticsearch, index: str) -> Callable[[], bool]:
    """Whether a delete that is made now is forgotten: then a document of a lower version is taken."""
    twin = f"twin-{time.monotonic_ns()}"
    client.options(ignore_status=404).delete(index=index, id=twin, version=2, version_type="external")

    def taken() -> bool:
        answer = client.options(ignore_status=409).index(
            index=index, id=twin, version=1, version_type="external", document={}
        )
        return bool(answer.meta.status == 201)

    return taken
