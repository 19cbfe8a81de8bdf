"""
The synchronisation of Elasticsearch: ids, names, documents, and its sink on the real one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from elasticsearch import Elasticsearch
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Rejected, Sink, TryAgain
from meepo2_cdc.testing import Changes, MirrorContract
from meepo2_cdc.testing.contract import KEYS
from meepo2_connectors.elasticsearch_sync.ids import HASHED, encoded
from meepo2_connectors.elasticsearch_sync.indexes import IndexNames
from meepo2_connectors.elasticsearch_sync.settings import Settings
from meepo2_connectors.key_text import Key, decoded
from tests.command import until
from tests.connectors.elasticsearch_target import (
    Rows,
    contents,
    forgotten,
    having,
    remove_indexes,
    sink,
)
from tests.proxy import Proxy


class Applying:
    """A sink that is open."""

    def __init__(self, url: str, prefix: str, rows: Rows, **settings: object) -> None:
        self.sink = sink(url, prefix, rows, **settings)
        self.sink.open()

    def __call__(self, *batch: TableAction) -> None:
        self.sink.apply(batch)


MakeApplying = Callable[..., Applying]


@pytest.fixture
def name(elasticsearch: Elasticsearch) -> Iterator[str]:
    """A prefix of nobody else; its indexes are removed."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    yield prefix
    remove_indexes(elasticsearch, prefix)


@pytest.fixture
def index(name: str) -> str:
    """The index of shop.user."""
    return f"{name}-user"


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def applying(elasticsearch_url: str, name: str, rows: Rows) -> Iterator[MakeApplying]:
    """Makes sinks, each as another process would have it."""
    with ExitStack() as made:

        def make(**settings: object) -> Applying:
            one = Applying(elasticsearch_url, name, rows, **settings)
            made.callback(one.sink.close)
            return one

        yield make


# -- ids


PARTS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8")), st.binary()
)


@given(st.lists(PARTS, min_size=1, max_size=3).map(tuple))
def test_every_key_comes_back_from_its_id(pk: Key):
    """A truncate asks the source for the keys that the ids tell."""
    found = decoded(encoded(pk))
    assert found == pk
    assert [type(part) for part in found] == [type(part) for part in pk]


def test_ids_look_as_documented():
    """Programs write them by themselves."""
    keys = [(1,), (-0.5,), ("x y",), ("1",), (b"\x00\xff",), (1, "x y"), ('a"%\n☃',)]
    assert [encoded(pk) for pk in keys] == ["1", "-0.5", '"x y"', '"1"', "x'00ff'", '1|"x y"', '"a%22%25%0A☃"']


def test_ids_are_never_longer_than_allowed():
    """One that is longer fails the whole bulk request, and so all other records with it, for ever."""
    ids = {encoded((letter * 511,)) for letter in "ab☃"} | {encoded(("a" * 510,))}
    assert len(ids) == 4
    assert all(len(one.encode()) <= 512 for one in ids)
    assert sum(one.startswith(HASHED) for one in ids) == 3
    assert decoded(encoded(("a" * 511,))) is None


# -- names of indexes


@pytest.mark.parametrize(
    "template", ["{prefix}", "{table}-{row}", "{table!r}", "{table:>9}", "{0}-{table}", "{", "{table.x}"]
)
def test_templates_that_cannot_tell_tables_apart_are_refused(template: str):
    """All tables would be mixed in one index."""
    with pytest.raises(ConfigError, match="MEEPO2_ELASTICSEARCH_SYNC_INDEX"):
        load_with("elasticsearch_sync", Settings, environment={"MEEPO2_ELASTICSEARCH_SYNC_INDEX": template})


def test_names_look_as_documented():
    """Who searches must know them."""
    names = IndexNames("{prefix}-{schema}-{table}", "Shop", "v2")
    assert names.index("app", "Order Lines") == "shop-app-order_lines-v2"
    assert names.alias("app", "Order Lines") == "shop-app-order_lines"
    assert IndexNames("{table}", "", "").index("app", "_-.hidden") == "hidden"


HOSTILE = ["Üser", "a b", "q\"u\\o'te", "x%y*?", "<a>|b,c#d:e/f", "☃", "new\nline", "tab\t", "_all", "-x", "..", "İ"]


@pytest.mark.parametrize("table", HOSTILE)
def test_a_table_of_any_name_has_an_index(
    table: str, applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, name: str
):
    """Elasticsearch is particular about names, and some of them mean something to it, such as all indexes."""
    changes = Changes()
    rows.put("shop", table, (1,), {"k0": 1, "data": "x"})
    applying(index="{prefix}-x{table}")(changes.write(1, table=table))
    expected = IndexNames("{prefix}-x{table}", name, "").index("shop", table)
    assert contents(elasticsearch, expected) == {"1": {"k0": 1, "data": "x"}}
    rows.remove("shop", table, (1,))
    applying(index="{prefix}-x{table}")(changes.truncate(table=table))
    assert contents(elasticsearch, expected) == {}


def test_a_name_that_is_too_long_is_for_a_person(applying: MakeApplying):
    """It would be refused for ever."""
    with pytest.raises(ConfigError, match="too long"):
        applying(index="{table}" * 4)(Changes().write(1, table="x" * 64))


def test_two_tables_do_not_share_an_index(applying: MakeApplying, rows: Rows):
    """Rows of one key would overwrite each other; the same process may meet both tables, or another one."""
    rows.write((1,))
    changes, apply = Changes(), applying()
    apply(changes.write(1))
    for one in (apply, applying()):
        with pytest.raises(ConfigError, match=r"is the index of shop\.user, and would be that of shop\.User too"):
            one(changes.write(1, table="User"))


def test_several_threads_meet_a_table_at_once(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """Each looks for the index, and none must take the others for another table."""
    changes, apply = Changes(), applying()
    for n in range(16):
        rows.write((n,))
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(apply, [changes.write(n) for n in range(16)]))
    assert len(contents(elasticsearch, index)) == 16


def test_an_index_that_forgets_deletes_too_early_is_for_a_person(
    applying: MakeApplying, elasticsearch: Elasticsearch, index: str
):
    """What was deleted could come back."""
    elasticsearch.indices.create(index=index, settings={"index.gc_deletes": "10s"})
    with pytest.raises(ConfigError, match="forgets deletes after 10s"):
        applying()(Changes().write(1))
    applying(late_seconds=9)(Changes().write(1))


def test_an_index_that_was_made_by_others_is_used_as_it_is(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """With the mapping that they want."""
    mappings = {"dynamic": False, "properties": {"data": {"type": "keyword"}}}
    elasticsearch.indices.create(index=index, mappings=mappings)
    rows.write((1,))
    applying()(Changes().write(1))
    assert list(elasticsearch.indices.get_mapping(index=index)[index]["mappings"]["properties"]) == ["data"]
    assert list(contents(elasticsearch, index)) == ["1"]


# -- the contract


class Target:
    """A table in memory, and its copy in an Elasticsearch to which the way can be barred."""

    def __init__(self, elasticsearch: Elasticsearch, proxy: Proxy, kind: str | None) -> None:
        self._client = elasticsearch
        self._proxy = proxy
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self._rows = Rows(2 if kind == "composite" else 1)
        self._barred = ExitStack()

    def sink(self) -> Sink:
        return sink(f"http://127.0.0.1:{self._proxy.port}", self.name, self._rows, timeout_seconds=10)

    def put(self, pk: Key) -> None:
        self._rows.write(pk)

    def remove(self, pk: Key) -> None:
        self._rows.delete(pk)

    def keys(self) -> set[Key]:
        found = {decoded(one): document for one, document in contents(self._client, f"{self.name}-user").items()}
        for pk, document in found.items():
            assert document["data"] == f"of {pk}"
        return {pk for pk in found if pk is not None}

    def stop(self) -> None:
        self._barred.enter_context(self._proxy.refusing())

    def start(self) -> None:
        self._barred.close()


class TestContract(MirrorContract):
    @pytest.fixture
    def target(
        self, elasticsearch: Elasticsearch, elasticsearch_url: str, request: pytest.FixtureRequest
    ) -> Iterator[Target]:
        callspec = getattr(request.node, "callspec", None)
        address = urlsplit(elasticsearch_url)
        with Proxy(str(address.hostname), address.port or 9200) as proxy:
            one = Target(elasticsearch, proxy, callspec.params.get("kind") if callspec else None)
            yield one
        remove_indexes(elasticsearch, one.name)


# -- the sink


def test_a_document_is_replaced_as_a_whole(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """A column that is gone would stay what it was."""
    changes, apply = Changes(), applying()
    rows.put("shop", "user", (1,), {"k0": 1, "data": "a", "gone": "x"})
    apply(changes.write(1))
    assert contents(elasticsearch, index) == {"1": {"k0": 1, "data": "a", "gone": "x"}}
    rows.put("shop", "user", (1,), {"k0": 1, "data": None})
    apply(changes.update(1))
    assert contents(elasticsearch, index) == {"1": {"k0": 1, "data": None}}


def test_the_version_is_the_seq(applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str):
    """An offset in Kafka would begin anew with a new topic, and all writes be refused."""
    changes = Changes()
    rows.write((1,))
    batch = [changes.write(1), changes.update(1), changes.write(2)]
    applying()(*batch)
    assert elasticsearch.get(index=index, id="1")["_version"] == batch[1].seq


def test_a_row_that_was_read_before_another_process_wrote_it_is_not_written(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """During a rebalance two processes have one key: the slower one would put the old row back, for ever."""
    changes, slow, quick = Changes(), applying(), applying()
    rows.write((1,), "old")
    first = changes.write(1)

    def overtaken() -> None:
        rows.write((1,), "new")
        quick(changes.update(1))

    rows.after_reading = overtaken
    slow(first)
    assert contents(elasticsearch, index)["1"]["data"] == "new"


@pytest.mark.parametrize("again", [False, True])
def test_a_row_that_was_read_before_it_was_deleted_is_not_written(
    again: bool, applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """
    Nothing would ever remove it again.

    The other process may have met the delete, or the same record again when the row was gone: then both have one seq.
    """
    changes, slow, quick = Changes(), applying(), applying()
    rows.write((1,))
    first = changes.write(1)

    def overtaken() -> None:
        rows.delete((1,))
        quick(first if again else changes.delete(1))

    rows.after_reading = overtaken
    slow(first)
    assert contents(elasticsearch, index) == {}


def test_a_row_that_was_read_too_long_ago_is_read_again(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """Of a process that was paused for longer than Elasticsearch remembers deletes, it refuses nothing."""
    elasticsearch.indices.create(index=index, settings={"index.gc_deletes": "1500ms"})
    changes, slow, quick = Changes(), applying(late_seconds=0.5), applying(late_seconds=0.5)
    rows.write((1,))
    first = changes.write(1)

    def paused() -> None:
        rows.delete((1,))
        quick(changes.delete(1))
        until(forgotten(elasticsearch, index), "the delete is forgotten", 30)

    rows.after_reading = paused
    slow(first)
    assert "1" not in contents(elasticsearch, index)
    assert rows.reads == 3, "once by the quick one, twice by the slow one"


def test_a_row_that_was_inserted_behind_a_truncate_is_kept(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """It is not in the source when the truncate looks there, and is in the index when the truncate deletes."""
    changes, slow, quick = Changes(), applying(), applying()
    rows.write((1,))
    slow(changes.write(1))
    rows.delete((1,))
    truncate, anew = changes.truncate(), changes.write(1)

    def overtaken() -> None:
        rows.write((1,), "anew")
        quick(anew)

    rows.after_reading = overtaken
    slow(truncate)
    assert contents(elasticsearch, index) == {"1": {"k0": 1, "data": "anew"}}


def test_a_truncate_leaves_what_is_newer_or_not_of_ours(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """Somebody may keep a document of another kind beside the rows."""
    changes, apply = Changes(), applying(document=f"{__name__}:nothing_but_a_length")
    long = ("x" * 600,)
    for pk in [(1,), (2,), long]:
        rows.write(pk)
    apply(changes.write(1), changes.write(2), changes.write(*long))
    elasticsearch.index(index=index, id="note", document={"of": "others"})
    assert set(contents(elasticsearch, index)) == {"1", "2", encoded(long), "note"}
    truncate = changes.truncate()
    apply(changes.write(2))
    for pk in [(1,), (2,), long]:
        rows.delete(pk)
    apply(truncate)
    assert set(contents(elasticsearch, index)) == {"2", "note"}


def test_a_truncate_removes_keys_that_the_table_no_longer_has(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """After a change of the primary key nothing else would."""
    changes, apply = Changes(), applying()
    for pk in [(1,), (2,), (3,)]:
        rows.write(pk)
    apply(*[changes.write(n) for n in (1, 2, 3)])
    rows.of_another_form = {(1,)}
    rows.delete((2,))
    apply(changes.truncate())
    assert set(contents(elasticsearch, index)) == {"3"}


def test_more_rows_than_one_request_takes(applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str):
    """A batch, and a truncate of a table, of any size."""
    changes, apply = Changes(), applying(bulk_bytes=20_000, bulk_records=700)
    for n in range(2500):
        rows.write((n,))
    apply(*[changes.write(n) for n in range(2500)])
    assert len(contents(elasticsearch, index)) == 2500
    for n in range(1, 2500):
        rows.delete((n,))
    apply(changes.truncate())
    assert set(contents(elasticsearch, index)) == {"0"}


def test_another_spelling_of_the_key_is_another_row(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """A source that ignores case answers for ABC with abc; the index would then have the row twice."""
    changes = Changes()
    rows.put("shop", "user", ("ABC",), {"k0": "abc", "data": "x"})
    rows.put("shop", "user", ("abc",), {"k0": "abc", "data": "x"})
    applying()(changes.delete("ABC"), changes.write("abc"))
    assert list(contents(elasticsearch, index)) == ['"abc"']


def test_records_of_a_key_that_the_table_no_longer_has_are_rejected(applying: MakeApplying, rows: Rows):
    """They alone are set aside; which row they meant, nobody can tell."""
    changes = Changes()
    rows.of_another_form = {(2,)}
    batch = [changes.write(1), changes.write(2), changes.write(3), changes.update(2)]
    with pytest.raises(Rejected) as caught:
        applying()(*batch)
    assert caught.value.records == (batch[1], batch[3])


def test_a_document_that_does_not_fit_the_mapping_is_rejected_alone(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """The others of the request must not be lost with it, and no value of a row gets into a log."""
    elasticsearch.indices.create(index=index, mappings={"properties": {"data": {"type": "long"}}})
    changes = Changes()
    for n, value in enumerate((7, "secret of a row", 9, "another secret")):
        rows.write((n,), value)
    batch = [*(changes.write(n) for n in range(4)), changes.update(1)]
    with pytest.raises(Rejected) as caught:
        applying()(*batch)
    assert set(caught.value.records) == {batch[1], batch[3], batch[4]}
    assert "failed to parse field [data] of type [long]" in caught.value.why
    assert "secret" not in caught.value.why
    assert set(contents(elasticsearch, index)) == {"0", "2"}


@pytest.mark.parametrize("block", ["write", "read_only_allow_delete"])
def test_an_index_that_takes_nothing_now_is_no_loss(
    block: str, applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """A disk that is full blocks the index: that concerns all records, and passes."""
    changes, apply = Changes(), applying()
    rows.write((1,))
    apply(changes.truncate())
    batch = [changes.write(1), changes.write(2)]
    with (
        having(elasticsearch, index, **{f"index__blocks__{block}": True}),
        pytest.raises(TryAgain, match="cluster_block_exception") as caught,
    ):
        apply(*batch)
    assert not caught.value.records
    apply(*batch)
    assert list(contents(elasticsearch, index)) == ["1"]


def test_an_index_that_is_closed_is_waited_for(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """Somebody changes its analyzers."""
    changes, apply = Changes(), applying()
    rows.write((1,))
    apply(changes.write(2))
    elasticsearch.indices.close(index=index)
    with pytest.raises(TryAgain, match="index_closed_exception") as caught:
        apply(changes.write(1))
    assert not caught.value.records
    elasticsearch.indices.open(index=index)
    elasticsearch.cluster.health(index=index, wait_for_status="yellow")
    apply(changes.write(1))
    assert list(contents(elasticsearch, index)) == ["1"]


def test_an_index_that_was_removed_before_a_truncate_is_no_end(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """It is made again instead of ending the process over and over."""
    changes, apply = Changes(), applying()
    apply(changes.write(1))
    elasticsearch.indices.delete(index=index)
    with pytest.raises(TryAgain):
        apply(changes.truncate())
    apply(changes.truncate())
    assert elasticsearch.indices.exists(index=index)


@pytest.mark.parametrize("way", ["refusing", "cut", "stalled"])
def test_a_way_that_is_barred_is_no_loss(
    way: str, elasticsearch_url: str, elasticsearch: Elasticsearch, rows: Rows, name: str, index: str
):
    """Whether the request arrived is not known; it comes again."""
    address = urlsplit(elasticsearch_url)
    rows.write((1,))
    with Proxy(str(address.hostname), address.port or 9200) as proxy, ExitStack() as barred:
        one = sink(f"http://127.0.0.1:{proxy.port}", name, rows, timeout_seconds=1)
        one.open()
        with closing(one):
            one.apply([Changes().write(2)])
            if way == "cut":
                rows.after_reading = lambda: barred.enter_context(proxy.refusing()) and None
            else:
                barred.enter_context(proxy.refusing() if way == "refusing" else proxy.having(stalled={"down"}))
            with pytest.raises(TryAgain) as caught:
                one.apply([Changes().write(1)])
            assert not caught.value.records
            barred.close()
            one.apply([Changes().write(1)])
    assert list(contents(elasticsearch, index)) == ["1"]


# -- the function that makes documents


def only_names(schema: str, table: str, pk: Key, row: dict[str, Any]) -> dict[str, Any] | None:
    """Of those who want to be found."""
    if row["data"] == "hidden":
        return None
    return {"id": list(pk), "of": f"{schema}.{table}", "name": row["data"].upper()}


def failing(schema: str, table: str, pk: Key, row: dict[str, Any]) -> object:
    if row["data"] == "wrong":
        raise KeyError("secret of a row")
    return {"list": ["not", "a", "document"]} if row["data"] == "fine" else [1]


def typed(schema: str, table: str, pk: Key, row: dict[str, Any]) -> dict[str, Any]:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return {
        "bytes": b"\x00\xff",
        "decimal": Decimal("1E+2"),
        "moment": moment,
        "day": moment.date(),
        "span": timedelta(minutes=1),
        "uuid": uuid.UUID(int=1),
    }


def test_a_function_makes_the_documents(applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str):
    """None is how it says that a row shall not be found, even one that was."""
    changes, apply = Changes(), applying(document=f"{__name__}:only_names")
    rows.write((1,), "ann")
    rows.write((2,), "bob")
    apply(changes.write(1), changes.write(2))
    assert contents(elasticsearch, index)["1"] == {"id": [1], "of": "shop.user", "name": "ANN"}
    rows.write((1,), "hidden")
    apply(changes.update(1))
    assert set(contents(elasticsearch, index)) == {"2"}


def test_a_function_that_fails_concerns_its_rows_only(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """They are tried again and become dead letters in the end; what it said may be of the row."""
    changes = Changes()
    for n, data in enumerate(("wrong", "fine", "list")):
        rows.write((n,), data)
    batch = [changes.write(n) for n in range(3)]
    with pytest.raises(TryAgain) as caught:
        applying(document=f"{__name__}:failing")(*batch)
    assert caught.value.records == (batch[0], batch[2])
    assert "raised KeyError in" in caught.value.why
    assert "secret" not in caught.value.why
    assert set(contents(elasticsearch, index)) == {"1"}


def test_a_function_may_use_the_types_of_the_row(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """It gets them, so it returns them."""
    rows.write((1,))
    applying(document=f"{__name__}:typed")(Changes().write(1))
    assert contents(elasticsearch, index)["1"] == {
        "bytes": "AP8=",
        "decimal": "100",
        "moment": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "span": 60.0,
        "uuid": "00000000-0000-0000-0000-000000000001",
    }


@pytest.mark.parametrize("function", ["nowhere:f", "json:nothing", "json:__name__"])
def test_a_function_that_cannot_be_had_is_for_a_person(function: str, applying: MakeApplying):
    """Before the first record, not at each."""
    with pytest.raises(ConfigError, match="document"):
        applying(document=function)


def test_keys_of_every_kind_lie_in_one_index(
    applying: MakeApplying, rows: Rows, elasticsearch: Elasticsearch, index: str
):
    """The first would fix the type of a field otherwise, and the others be rejected: ids are no fields."""
    changes, apply = Changes(), applying(document=f"{__name__}:nothing_but_a_length")
    keys = [pk for kind, some in KEYS.items() if kind != "composite" for pk in some]
    for pk in keys:
        rows.write(pk)
    apply(*[changes.write(*pk) for pk in keys])
    assert {decoded(one) for one in contents(elasticsearch, index)} == set(keys)


def nothing_but_a_length(schema: str, table: str, pk: Key, row: dict[str, Any]) -> dict[str, Any]:
    return {"length": len(str(pk))}
