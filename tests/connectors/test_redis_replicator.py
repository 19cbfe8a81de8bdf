"""
The replicator into Redis: names and values of rows, its sink, and the command with both ends.
"""

from __future__ import annotations

import json
import re
import shlex
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from sqlalchemy import Column, MetaData, Table

import meepo2_connectors.redis_replicator
from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import KeyPart, TableAction
from meepo2_cdc.replay.connectors import choose
from meepo2_cdc.replay.keys import KeyMismatch
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import Context, Rejected, Sink
from meepo2_cdc.testing import Changes, InMemoryRows, MirrorContract
from meepo2_cdc.testing.contract import KEYS
from meepo2_connectors.key_text import Key, decoded, encoded
from meepo2_connectors.redis_replicator import connector
from meepo2_connectors.redis_replicator.keys import RowNames
from meepo2_connectors.redis_replicator.settings import Settings
from tests.command import Running, until
from tests.connectors import redis_troubles
from tests.connectors.redis_crashes import QUICK, SECONDS, SEED, SUCCESSOR, kill_at_random
from tests.faults.workload import TABLES
from tests.scenes import MakeScene, Scene, Server, both_own
from tests.services import native

FOLDER = Path(meepo2_connectors.redis_replicator.__file__).parent


class Rows(InMemoryRows):
    """A source whose keys are of as many columns as the key that is asked for has; `after_reading` is called once."""

    def __init__(self, parts: int = 1) -> None:
        key = [Column(f"k{n}", sqlalchemy.LargeBinary, primary_key=True) for n in range(parts)]
        table = Table("user", MetaData(), *key, Column("data", sqlalchemy.String), schema="shop")
        super().__init__([table])
        self.after_reading: Callable[[], None] = lambda: None
        self.of_another_form: set[Key] = set()
        self.reads = 0

    def write(self, pk: Key, data: str | None = None) -> None:
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


@pytest.fixture
def namespace() -> str:
    """Of nobody else."""
    return f"test:{uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with closing(Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.PrivateRedis]:
    """One that may be harmed."""
    with native.redis(tmp_path_factory.mktemp("redis"), redis_troubles.OPTIONS) as server:
        yield server


def sink(url: str, namespace: str, rows: object, **settings: object) -> Sink:
    own = Settings.model_validate({"url": url, "namespace": namespace, **settings})
    return connector.sink(own, Context("shop", lambda: rows))  # type: ignore[arg-type, return-value]


def contents(redis: Redis, namespace: str) -> dict[str, Any]:
    """The rows, as they lie there; guards left out."""
    names = [name for name in redis.scan_iter(f"{namespace}:*", count=1000) if not name.endswith(b"#seq")]
    return {name.decode(): _content(redis, name) for name in names}


def _content(redis: Redis, name: bytes) -> Any:
    if redis.type(name) == b"hash":
        return redis.hgetall(name)
    raw = redis.get(name)
    return json.loads(raw) if raw is not None else None  # type: ignore[arg-type]


class Applying:
    """A sink that is open, on the real Redis."""

    def __init__(self, url: str, namespace: str, rows: Rows, **settings: object) -> None:
        self.sink = sink(url, namespace, rows, **settings)
        self.sink.open()

    def __call__(self, *batch: TableAction) -> None:
        self.sink.apply(batch)


MakeApplying = Callable[..., Applying]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def applying(redis_url: str, namespace: str, rows: Rows) -> Iterator[MakeApplying]:
    """Makes sinks, each as another process would have it."""
    with ExitStack() as made:

        def make(**settings: object) -> Applying:
            one = Applying(redis_url, namespace, rows, **settings)
            made.callback(one.sink.close)
            return one

        yield make


# -- names


PARTS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8")), st.binary()
)


@given(st.lists(PARTS, min_size=1, max_size=3).map(tuple))
def test_every_key_comes_back_from_its_name(pk: Key):
    """A truncate asks the source for the keys that the names tell."""
    found = decoded(encoded(pk))
    assert found == pk
    assert [type(part) for part in found] == [type(part) for part in pk]


@pytest.mark.parametrize("text", ["", "1|", "|1", '"a', 'a"', "1#seq", '"a"#seq', "x'0'", "x'0g'", "1 ", "--1", "1,2"])
def test_what_no_key_makes_is_no_name_of_ours(text: str):
    """Somebody else's key must not be taken for a row, and be removed."""
    assert decoded(text) is None


def test_names_look_as_documented():
    """Programs write them by themselves."""
    names = RowNames("{namespace}:{schema}.{table}:{pk}", "ns")
    keys = [(1,), (-0.5,), ("x y",), ("1",), (b"\x00\xff",), (1, "x y"), ('a"%\n☃',)]
    assert [encoded(pk) for pk in keys] == ["1", "-0.5", '"x y"', '"1"', "x'00ff'", '1|"x y"', '"a%22%25%0A☃"']
    assert names.prefix("shop", "user") == "ns:shop.user:"
    assert names.prefix("a.b", "c:d[*]") == "ns:a%2Eb.c%3Ad%5B%2A%5D:"
    assert RowNames("{namespace}:{table}:{pk}", "n*").pattern("shop", "user") == "n\\*:user:*"


@pytest.mark.parametrize(
    "template",
    [
        "{table}{pk}", "{table}:x", "{namespace}:{pk}", "{pk}:{table}", "{table}:{pk}:{pk}", "{table}:{row}:{pk}",
        "{table!r}:{pk}", "{table:>9}:{pk}", "{table}-{pk}", "{0}:{table}:{pk}", "{table}:{", "{table.x}:{pk}",
    ],
)  # fmt: skip
def test_templates_by_which_rows_would_share_a_name_are_refused(template: str):
    """One row would overwrite the other."""
    with pytest.raises(ConfigError, match="MEEPO2_REDIS_REPLICATOR_KEY"):
        load_with("redis_replicator", Settings, environment={"MEEPO2_REDIS_REPLICATOR_KEY": template})


# -- the contract


class Target:
    """A table in memory, and its copy in a Redis that can be killed."""

    def __init__(self, server: native.PrivateRedis, mode: str, kind: str | None) -> None:
        self._server = server
        self._mode = mode
        self._namespace = f"test:{uuid.uuid4().hex[:12]}"
        self._rows = Rows(2 if kind == "composite" else 1)

    def sink(self) -> Sink:
        return sink(self._server.url, self._namespace, self._rows, mode=self._mode, timeout_seconds=2)

    def put(self, pk: Key) -> None:
        self._rows.write(pk)

    def remove(self, pk: Key) -> None:
        self._rows.delete(pk)

    def keys(self) -> set[Key]:
        prefix = f"{self._namespace}:shop.user:"
        with closing(Redis.from_url(self._server.url)) as redis:
            found = {decoded(name[len(prefix) :]): one for name, one in contents(redis, self._namespace).items()}
        for pk, one in found.items():
            assert pk is not None
            data = one[b"data"].decode() if self._mode == "hash" else one["data"]
            assert data == f"of {pk}"
        return {pk for pk in found if pk is not None}

    def stop(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()


class _Contract(MirrorContract):
    mode: str

    @pytest.fixture
    def target(self, own_redis: native.PrivateRedis, request: pytest.FixtureRequest) -> Target:
        callspec = getattr(request.node, "callspec", None)
        return Target(own_redis, self.mode, callspec.params.get("kind") if callspec else None)


class TestHashes(_Contract):
    mode = "hash"


class TestJson(_Contract):
    mode = "json"


# -- the sink


def test_a_row_is_replaced_as_a_whole(applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """A column that is NULL now, or gone, would stay what it was."""
    changes, apply = Changes(), applying()
    rows.put("shop", "user", (1,), {"k0": 1, "data": "a", "gone": "x"})
    apply(changes.write(1))
    assert contents(redis, namespace) == {f"{namespace}:shop.user:1": {b"k0": b"1", b"data": b"a", b"gone": b"x"}}
    rows.put("shop", "user", (1,), {"k0": 1, "data": None})
    apply(changes.update(1))
    assert contents(redis, namespace) == {f"{namespace}:shop.user:1": {b"k0": b"1"}}


@pytest.mark.parametrize("mode", ["hash", "json"])
def test_a_row_that_was_read_before_another_process_wrote_it_is_not_written(
    mode: str, applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """During a rebalance two processes have one key: the slower one would put the old row back, for ever."""
    changes, slow, quick = Changes(), applying(mode=mode), applying(mode=mode)
    rows.write((1,), "old")
    first = changes.write(1)

    def overtaken() -> None:
        rows.write((1,), "new")
        quick(changes.update(1))

    rows.after_reading = overtaken
    slow(first)
    (row,) = contents(redis, namespace).values()
    assert row.get("data", row.get(b"data")) in ("new", b"new")


def test_a_row_that_was_read_before_it_was_deleted_is_not_written(
    applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """Nothing would ever remove it again."""
    changes, slow, quick = Changes(), applying(), applying()
    rows.write((1,))
    first = changes.write(1)

    def overtaken() -> None:
        rows.delete((1,))
        quick(changes.delete(1))

    rows.after_reading = overtaken
    slow(first)
    assert contents(redis, namespace) == {}


def test_a_row_that_was_inserted_behind_a_truncate_is_kept(
    applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """It is not in the source when the truncate looks there, and is in Redis when the truncate removes."""
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
    assert contents(redis, namespace) == {f"{namespace}:shop.user:1": {b"k0": b"1", b"data": b"anew"}}


def test_a_row_that_was_read_too_long_ago_is_read_again(
    applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """A process that was paused for longer than a guard lives finds no guard any more."""
    changes, slow, quick = Changes(), applying(guard_seconds=1), applying(guard_seconds=1)
    rows.write((1,))
    first = changes.write(1)

    def paused() -> None:
        rows.delete((1,))
        quick(changes.delete(1))
        until(lambda: not list(redis.scan_iter(f"{namespace}:*")), "the guard is gone", 10)

    rows.after_reading = paused
    slow(first)
    assert contents(redis, namespace) == {}
    assert rows.reads == 3, "once by the quick one, twice by the slow one"


def test_the_guard_is_of_the_newest_record_in_the_batch(applying: MakeApplying, redis: Redis, namespace: str):
    """A replay may bring older records behind newer ones; the row was read behind all of them."""
    changes = Changes()
    older, newer = changes.write(1), changes.update(1)
    applying()(newer, older)
    assert redis.get(f"{namespace}:shop.user:1#seq") == str(newer.seq).encode()


def test_guards_go_by_themselves(applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """Those of deleted rows would fill Redis."""
    changes, apply = Changes(), applying(guard_seconds=60)
    rows.write((1,))
    apply(changes.write(1), changes.write(2))
    guards = [name for name in redis.scan_iter(f"{namespace}:*") if name.endswith(b"#seq")]
    assert len(guards) == 2
    assert all(0 < redis.ttl(name) <= 60 for name in guards)
    assert redis.ttl(f"{namespace}:shop.user:1") == -1


@pytest.mark.parametrize("mode", ["hash", "json"])
def test_rows_expire_where_that_is_set(mode: str, applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """A cache holds what is in use."""
    rows.write((1,))
    applying(mode=mode, expire_seconds=1000)(Changes().write(1))
    assert 0 < redis.ttl(f"{namespace}:shop.user:1") <= 1000


def test_a_row_of_more_columns_than_a_call_takes_is_written(
    applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """MySQL allows 4,096 columns, and Lua's stack has 8,000 places for names and values."""
    row: dict[str, Any] = {"k0": 1, **{f"c{n}": n for n in range(4095)}}
    rows.put("shop", "user", (1,), row)
    applying()(Changes().write(1))
    assert redis.hgetall(f"{namespace}:shop.user:1") == {k.encode(): str(v).encode() for k, v in row.items()}


def test_another_spelling_of_the_key_is_another_row(applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """A source that ignores case answers for ABC with abc; Redis would then have the row twice."""
    changes = Changes()
    rows.put("shop", "user", ("ABC",), {"k0": "abc", "data": "x"})
    rows.put("shop", "user", ("abc",), {"k0": "abc", "data": "x"})
    applying()(changes.delete("ABC"), changes.write("abc"))
    assert list(contents(redis, namespace)) == [f'{namespace}:shop.user:"abc"']


def test_records_of_a_key_that_the_table_no_longer_has_are_rejected(applying: MakeApplying, rows: Rows):
    """They alone are set aside; which row they meant, nobody can tell."""
    changes = Changes()
    rows.of_another_form = {(2,)}
    batch = [changes.write(1), changes.write(2), changes.write(3), changes.update(2), changes.write(2, table="other")]
    with pytest.raises(Rejected) as caught:
        applying()(*batch)
    assert caught.value.records == (batch[1], batch[3])


def test_a_truncate_removes_keys_that_the_table_no_longer_has(
    applying: MakeApplying, rows: Rows, redis: Redis, namespace: str
):
    """After ALTER TABLE ... DROP PRIMARY KEY nothing else would."""
    changes, apply = Changes(), applying()
    for pk in [(1,), (2,), (3,)]:
        rows.write(pk)
    apply(*[changes.write(n) for n in (1, 2, 3)])
    rows.of_another_form = {(1,)}
    rows.delete((2,))
    apply(changes.truncate())
    assert set(contents(redis, namespace)) == {f"{namespace}:shop.user:3"}


def test_a_truncate_leaves_what_is_not_of_its_table(applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """A name that begins alike, and keys that somebody else put there."""
    changes, apply = Changes(), applying()
    others = [f"{namespace}:shop.user2:1", f"{namespace}:shop.user:note", f"{namespace}:shop.user:1:x"]
    for name in others:
        redis.set(name, "1", ex=60)
    rows.write((1,))
    apply(changes.write(1))
    rows.delete((1,))
    apply(changes.truncate())
    assert set(contents(redis, namespace)) == set(others)


def test_more_rows_than_one_call_takes(applying: MakeApplying, rows: Rows, redis: Redis, namespace: str):
    """A batch, and a truncate of a table, of any size."""
    changes, apply = Changes(), applying(mode="json")
    for n in range(2500):
        rows.write((n,))
    apply(*[changes.write(n) for n in range(2500)])
    assert len(contents(redis, namespace)) == 2500
    rows.clear("shop", "user")
    apply(changes.truncate())
    assert contents(redis, namespace) == {}


@pytest.mark.parametrize("kind", KEYS)
def test_invalidation_removes_the_keys_of_changed_rows_only(
    kind: str, applying: MakeApplying, redis: Redis, namespace: str
):
    """What stays behind is served for ever; what goes without need is read again."""
    keys = KEYS[kind]
    names = [f"{namespace}:shop.user:{encoded(pk)}" for pk in keys]
    redis.mset(dict.fromkeys(names, "1"))
    changes, apply = Changes(), applying(mode="invalidate")
    apply(changes.update(*keys[0]))
    assert set(contents(redis, namespace)) == set(names[1:])
    apply(*[changes.delete(*pk) for pk in keys])
    assert contents(redis, namespace) == {}


def test_invalidation_asks_no_source_and_a_truncate_empties_the_table(redis_url: str, redis: Redis, namespace: str):
    """It needs no account there."""

    def no_rows() -> SourceRows:
        raise AssertionError("the source was asked")

    own = Settings.model_validate({"url": redis_url, "namespace": namespace, "mode": "invalidate"})
    one = connector.sink(own, Context("shop", no_rows))
    other = f"{namespace}:shop.other:1"
    redis.mset({f"{namespace}:shop.user:{n}": "1" for n in range(2500)} | {other: "1"})
    one.open()
    one.apply([Changes().truncate()])
    one.close()
    assert set(contents(redis, namespace)) == {other}
    redis.delete(other)


# a Redis that is full lets keys be removed
@pytest.mark.parametrize(
    ("mode", "trouble"),
    [("hash", one) for one in redis_troubles.TROUBLES]
    + [("invalidate", one) for one in redis_troubles.TROUBLES if one != "full"],
)
def test_a_redis_that_takes_nothing_now_is_no_loss(
    mode: str, trouble: str, own_redis: native.PrivateRedis, rows: Rows, namespace: str
):
    """The batch must come again, instead of being set aside or ending the process."""
    rows.write((1,))
    one = sink(own_redis.url, namespace, rows, mode=mode, timeout_seconds=redis_troubles.SHORT_TIMEOUT_SECONDS)
    one.open()
    redis_troubles.expect_patience(own_redis, trouble, one, [Changes().write(1)])
    one.close()


def test_an_account_that_may_not_is_for_a_person(own_redis: native.PrivateRedis, rows: Rows, namespace: str):
    """Trying again for ever would hide it; a password must not get into a log."""
    for rules in ("+@connection +info", "+@all"):  # without any keys
        with redis_troubles.account(own_redis, rules) as url:
            redis_troubles.expect_complaint(sink(url, namespace, rows), [Changes().write(1)])


def test_the_commands_that_the_readme_names_suffice(own_redis: native.PrivateRedis, rows: Rows, namespace: str):
    """Who grants them must not find out at night that one is missing."""
    rules = re.search(r"ACL SETUSER cdc on >\S+ (.*)", (FOLDER / "README.md").read_text())
    assert rules is not None
    rows.write((1,))
    with redis_troubles.account(own_redis, rules[1].replace("~shop:*", f"~{namespace}:*")) as url:
        for mode in ("hash", "json", "invalidate"):
            one = Applying(url, namespace, rows, mode=mode, expire_seconds=60)
            one(Changes().write(1), Changes().write(2), Changes().truncate())
            one.sink.close()


# -- settings


def test_the_example_is_complete_and_loads():
    """A setting that is missing from it is not found."""
    settings, own = load_with("redis_replicator", Settings, config=FOLDER / "example.toml", environment={})
    assert settings.prefix == "shop"
    assert own.model_fields_set == set(Settings.model_fields)


def test_a_wrong_address_is_refused_without_its_password():
    """Messages are kept in logs."""
    given = {"MEEPO2_REDIS_REPLICATOR_URL": "http://x:secret-of-a-test@y"}
    with pytest.raises(ConfigError) as caught:
        load_with("redis_replicator", Settings, environment=given)
    assert "secret-of-a-test" not in str(caught.value)


def test_it_is_found_by_its_name():
    """By the entry point, as the command finds it."""
    assert choose("redis_replicator").connector is connector


def test_the_commands_of_the_readme_are_there():
    """Their names and options, by asking for help."""
    lines = [line.strip() for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("    meepo2-")]
    assert lines
    for line in lines:
        assert Running([*shlex.split(line, comments=True)[1:], "--help"], {}).end().code == 0, line


# -- the command, from a source to Redis


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Commands that are gone at the end."""
    with ExitStack() as stack:
        yield stack


def launch(running: ExitStack, scene: Scene, url: str, **settings: str) -> Running:
    own = {"MEEPO2_REDIS_REPLICATOR_URL": url, "MEEPO2_RUN_COMMIT_INTERVAL_MS": "100", **QUICK, **settings}
    one = Running(["run", "redis_replicator"], {**scene.settings, **own})
    running.callback(one.kill)
    return one


TABLE = "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))"
UP_TO_THE_UPDATE_OF_2 = [
    "INSERT INTO test VALUES (1, 'a')",
    "INSERT INTO test VALUES (2, 'b'), (3, 'c'), (4, 'd')",
    "UPDATE test SET data = 'aa' WHERE id = 1",
    "UPDATE test SET data = 'bb' WHERE id = 2",
]


@both_own
def test_rows_come_are_changed_and_go(scene: Scene, redis_url: str, redis: Redis, running: ExitStack):
    """S83.  From SQL to `<ns>:test:1`, and again from the beginning: late and repeated records change nothing."""
    key = {"MEEPO2_REDIS_REPLICATOR_KEY": "{namespace}:{table}:{pk}", "MEEPO2_REDIS_REPLICATOR_URL": redis_url}
    scene.settings |= key
    scene.run(TABLE, *UP_TO_THE_UPDATE_OF_2)
    scene.caught_up()
    connecting = launch(running, scene, redis_url)

    def rows(**data: str) -> dict[str, dict[bytes, bytes]]:
        return {
            f"{scene.prefix}:test:{n[1:]}": {b"id": n[1:].encode(), b"data": text.encode()} for n, text in data.items()
        }

    wanted = rows(_1="aa", _2="bb", _3="c", _4="d")
    until(lambda: contents(redis, scene.prefix) == wanted, "the rows")
    scene.run("UPDATE test SET id = 30 WHERE id = 3", "DELETE FROM test WHERE id IN (1, 2)")
    scene.caught_up()
    wanted = rows(_4="d", _30="c")
    until(lambda: contents(redis, scene.prefix) == wanted, "the deletes, and the row under its new key")
    assert connecting.stop().code == 0
    outcome = scene.command("replay", "redis_replicator", "--from-offset", "earliest")
    assert outcome.code == 0, outcome.err
    assert contents(redis, scene.prefix) == wanted
    redis.delete(*wanted)
    outcome = scene.command("replay", "redis_replicator", "--from-offset", "earliest")
    assert outcome.code == 0, outcome.err
    assert contents(redis, scene.prefix) == wanted
    scene.run("TRUNCATE test", "INSERT INTO test VALUES (5, 'e')")
    launch(running, scene, redis_url)
    scene.caught_up()
    until(lambda: contents(redis, scene.prefix) == rows(_5="e"), "the row that was inserted after the truncate")


COLUMNS = {
    "id": ("BIGINT UNSIGNED PRIMARY KEY", "18446744073709551615", b"18446744073709551615", 18446744073709551615),
    "small": ("TINYINT", "-1", b"-1", -1),
    "flag": ("BIT(1)", "b'1'", b"1", 1),
    "price": ("DECIMAL(30,2)", "-12.5", b"-12.50", "-12.50"),
    "ratio": ("DOUBLE", "0.1", b"0.1", 0.1),
    "day": ("DATE", "'2026-01-02'", b"2026-01-02", "2026-01-02"),
    "span": ("TIME(2)", "'-12:00:01.5'", b"-12:00:01.50", "-12:00:01.50"),
    "moment": (
        "DATETIME(3)",
        "'2026-01-02 03:04:05.12'",
        b"2026-01-02T03:04:05.120",
        "2026-01-02T03:04:05.120",
    ),
    "stamp": ("TIMESTAMP NULL", "FROM_UNIXTIME(1000000000)", b"2001-09-09T01:46:40Z", "2001-09-09T01:46:40Z"),
    "zero": ("DATETIME", "'0000-00-00 00:00:00'", b"0000-00-00 00:00:00", "0000-00-00 00:00:00"),
    "label": ("ENUM('red', 'green')", "'red'", b"red", "red"),
    "labels": ("SET('a', 'b')", "'a,b'", b"a,b", "a,b"),
    "body": ("TEXT", "'größe ☃'", "größe ☃".encode(), "größe ☃"),
    "raw": ("VARBINARY(9)", "x'00ff'", b"\x00\xff", "AP8="),
    "doc": ("JSON", "'{\"a\": [1, null]}'", b'{"a": [1, null]}', '{"a": [1, null]}'),
    "nothing": ("INT", "NULL", None, None),
    'o"d`d %s': ("INT", "7", b"7", 7),
}
"""A column's definition, an expression for its value, what a hash has of it, and what JSON has."""


@both_own
def test_values_are_as_documented(scene: Scene, redis_url: str, redis: Redis, running: ExitStack):
    """Readers in any language rely on it; MySQL and MariaDB must not differ."""
    quoted = {name: "`" + name.replace("`", "``") + "`" for name in COLUMNS}
    scene.run(
        "CREATE TABLE kind (" + ", ".join(f"{quoted[name]} {one[0]}" for name, one in COLUMNS.items()) + ")",
        "SET SESSION sql_mode = ''",
    )
    values = ", ".join(one[1] for one in COLUMNS.values())
    with scene.server.connect(scene.database, init_command="SET sql_mode = ''") as connection:
        connection.cursor().execute(f"INSERT INTO kind VALUES ({values})")
    scene.caught_up()
    for mode in ("hash", "json"):
        launch(running, scene, redis_url, MEEPO2_REDIS_REPLICATOR_MODE=mode, MEEPO2_RUN_GROUP=f"{scene.prefix}.{mode}")
        name = f'{scene.prefix}:{scene.database}.kind:"18446744073709551615"'
        wanted = (
            {name.encode(): one[2] for name, one in COLUMNS.items() if one[2] is not None}
            if mode == "hash"
            else {name: one[3] for name, one in COLUMNS.items()}
        )

        def found(name: str = name, wanted: object = wanted) -> bool:
            return contents(redis, scene.prefix).get(name) == wanted

        try:
            until(found, mode, 30)
        except AssertionError:
            assert contents(redis, scene.prefix).get(name) == wanted
    raw = redis.get(name)
    assert isinstance(raw, bytes)
    assert list(json.loads(raw)) == list(COLUMNS), "in the order of the columns"


# -- faults


def test_rows_equal_the_source_after_kills_of_both_ends(
    own_mariadb: Server, make_scene: MakeScene, own_redis: native.PrivateRedis, running: ExitStack
):
    """kill -9 of the connector and of Redis, at random moments; then every row is there, and no other."""
    scene = make_scene(own_mariadb)
    kill_at_random(scene, own_redis, lambda: launch(running, scene, own_redis.url, **SUCCESSOR), SEED, SECONDS)
    wanted = in_the_source(scene)
    with closing(Redis.from_url(own_redis.url)) as redis:

        def differing() -> list[str]:
            found = contents(redis, scene.prefix)
            return [name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)]

        last = launch(running, scene, own_redis.url)
        try:
            until(lambda: not differing(), "the rows equal the source's")
        except AssertionError:
            raise AssertionError(
                f"seed {SEED}: {len(differing())} rows, such as {differing()[:9]}\n{last.said}"
            ) from None


def in_the_source(scene: Scene) -> dict[str, dict[bytes, bytes]]:
    """Every row of every table that has records, under its name."""
    keys = {**dict.fromkeys(("number", "word", "bulk"), ("id",)), "pair": ("b", "a")}
    tables = {read.action.table for read in scene.reads() if read.action is not None}
    assert set(TABLES) <= tables
    found = {}
    for table in tables:
        for row in scene.ask(f"SELECT * FROM `{table}`"):
            pk: tuple[KeyPart, ...] = tuple(row[name] for name in keys.get(table, ("id",)))
            fields = {name.encode(): str(value).encode() for name, value in row.items() if value is not None}
            found[f"{scene.prefix}:{scene.database}.{table}:{encoded(pk)}"] = fields
    return found
