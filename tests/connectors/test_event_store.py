"""
The event store: its Python side, its sink, and the command with both ends.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

import meepo2_connectors.event_store
from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.connectors import choose
from meepo2_cdc.replay.sink import Context, Sink, TryAgain
from meepo2_cdc.testing import Changes
from meepo2_cdc.testing.contract import KEYS
from meepo2_connectors.event_store import EventStore, connector, dated, event_name
from meepo2_connectors.event_store.members import Pk, member, pk_of
from meepo2_connectors.event_store.settings import Settings
from meepo2_connectors.redis_target import translating
from tests.command import Running, environment, until
from tests.connectors import redis_troubles
from tests.connectors.redis_crashes import QUICK, SECONDS, SEED, SUCCESSOR, kill_at_random
from tests.scenes import MakeScene, Scene, Server, both_own
from tests.services import native

FOLDER = Path(meepo2_connectors.event_store.__file__).parent
FOR_EVER = 0
DAY = 24 * 3600
WRITTEN = "shop.user_write"


@pytest.fixture
def namespace() -> str:
    """Of nobody else."""
    return f"test:{uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with closing(Redis.from_url(redis_url)) as client:
        yield client


@pytest.fixture
def store(redis_url: str, namespace: str) -> Iterator[EventStore]:
    """One that forgets nothing."""
    with EventStore(redis_url, namespace=namespace, retention=None) as one:
        yield one


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.PrivateRedis]:
    """One that may be harmed."""
    with native.redis(tmp_path_factory.mktemp("redis"), redis_troubles.OPTIONS) as server:
        yield server


def sink(url: str, namespace: str | None, **settings: object) -> Sink:
    own = Settings.model_validate({"url": url, "namespace": namespace, "retention_seconds": FOR_EVER, **settings})
    return connector.sink(own, Context("shop", source_rows=_no_rows))


def _no_rows() -> object:
    raise AssertionError("the event store reads no rows")


def apply(url: str, namespace: str | None, *batches: list[TableAction], **settings: object) -> None:
    """Each batch by a sink of its own, as after a restart."""
    for batch in batches:
        one = sink(url, namespace, **settings)
        one.open()
        one.apply(batch)
        one.close()


def contents(redis: Redis, namespace: str) -> dict[str, list[tuple[bytes, float]]]:
    """All that is in the store."""
    keys = sorted(redis.scan_iter(f"{namespace}:*", count=1000))
    return {key.decode(): [tuple(pair) for pair in redis.zrange(key, 0, -1, withscores=True)] for key in keys}


# -- the store


def test_the_key_that_had_the_event_last_comes_last(store: EventStore):
    """S47.  Who reads on from the last time seen would miss the second change of 1."""
    for pk, ts in [(1, 1000), (3, 1001), (1, 1002)]:
        assert store.add(WRITTEN, pk, ts)
    assert store.replay(WRITTEN) == [3, 1]


def test_an_event_without_a_time_is_of_now_by_the_clock_of_redis(store: EventStore, redis: Redis):
    """Clocks of several hosts would put events in an order in which they did not come."""
    seconds, microseconds = redis.time()
    store.add(WRITTEN, 1)
    noted = store.query(WRITTEN, 1)
    assert noted is not None
    assert 0 <= noted - (seconds + microseconds / 1e6) < 60


def test_bounds_are_included_and_unknown_keys_have_no_time(store: EventStore):
    """S48.  A reader that asks from its last time on must see all of that time."""
    for n, pk in enumerate([1, 3, 5, 7, 9]):
        store.add(WRITTEN, pk, 1000 + n)
    assert store.replay(WRITTEN, ts=1003) == [7, 9]
    assert store.replay(WRITTEN, ts=1002, end_ts=1003) == [5, 7]
    assert store.replay(WRITTEN, end_ts=1002) == [1, 3, 5]
    assert store.replay(WRITTEN, ts=1003, with_ts=True) == [(7, 1003), (9, 1004)]
    assert store.replay(WRITTEN, ts=datetime.fromtimestamp(1004, UTC)) == [9]
    assert store.query(WRITTEN, 1) == 1000
    assert store.query(WRITTEN, 2) is None
    assert store.replay("shop.user_unknown") == []


def test_an_end_of_zero_is_an_end(store: EventStore):
    """S55.  Whoever computes an end would get everything where nothing was meant."""
    store.add(WRITTEN, 1, 1000)
    assert store.replay(WRITTEN, end_ts=0) == []
    store.add(WRITTEN, 2, 0)
    assert store.replay(WRITTEN, end_ts=0) == [2]


def test_the_later_time_stays(store: EventStore):
    """S49.  Records that come late, or again, would hide that the key changed since."""
    assert store.add(WRITTEN, 1, 1000)
    assert store.add(WRITTEN, 1, 990)
    assert store.query(WRITTEN, 1) == 1000


def test_keys_of_one_time_come_in_the_order_of_their_members(store: EventStore):
    """Two reads of one range must give one answer."""
    for pk in ["b", "a", 10, 2, ("a", 1)]:
        store.add(WRITTEN, pk, 1000)
    assert store.replay(WRITTEN) == sorted(["b", "a", 10, 2, ("a", 1)], key=member)


def test_microseconds_are_told_apart(store: EventStore):
    """A busy source commits often within a millisecond; the order would be that of the members."""
    begin = datetime(2026, 7, 1, 12, 0, 0, 999_990, tzinfo=UTC)
    for n in range(20):
        store.add(WRITTEN, 20 - n, begin + timedelta(microseconds=n))
    assert store.replay(WRITTEN) == list(range(20, 0, -1))
    assert store.replay(WRITTEN, ts=begin + timedelta(microseconds=19)) == [1]


def test_clearing_forgets_one_event_only(store: EventStore):
    """S50.  A rebuilt cache clears its own event; the neighbour's must stay."""
    store.add(WRITTEN, 1, 1000)
    store.add("shop.user_update", 1, 1000)
    assert store.clear(WRITTEN)
    assert not store.clear(WRITTEN)
    assert store.replay(WRITTEN) == []
    assert store.replay("shop.user_update") == [1]


def test_namespaces_never_mix(redis_url: str, namespace: str):
    """S51.  Two applications on one Redis must not read each other's keys, however odd the names."""
    with (
        EventStore(redis_url, namespace=f"{namespace}:a", retention=None) as one,
        EventStore(redis_url, namespace=namespace, retention=None) as other,
    ):
        one.add("b_write", 1, 1000)
        assert other.replay("b_write") == []
        with pytest.raises(ValueError, match="no colon"):
            other.replay("a:b_write")


def test_a_function_of_time_makes_the_namespaces(redis_url: str, redis: Redis, namespace: str):
    """S51, S52.  A replay since yesterday that reads the sets of one day misses the other day's keys."""
    now = time.time()
    with EventStore(redis_url, namespace=dated(namespace, "%Y%m%d")) as store:
        for pk, ts in [(1, now - 2 * DAY), (2, now - DAY), (3, now), (1, now - DAY + 1)]:
            store.add(WRITTEN, pk, ts)
        day = datetime.fromtimestamp(now, UTC)
        days = {f"{namespace}:{day - timedelta(days=n):%Y%m%d}:{WRITTEN}".encode() for n in range(3)}
        assert set(redis.scan_iter(f"{namespace}:*")) == days
        assert store.replay(WRITTEN, ts=now - DAY) == [2, 1, 3]
        assert store.replay(WRITTEN) == [2, 1, 3]
        assert store.replay(WRITTEN, end_ts=now - 2 * DAY) == [1]
        assert store.query(WRITTEN, 1) == now - DAY + 1
        assert store.clear(WRITTEN)
    assert contents(redis, namespace) == {}


def test_one_namespace_holds_all_days(redis_url: str, namespace: str):
    """S52, as the store is set by default."""
    now = time.time()
    with EventStore(redis_url, namespace=namespace) as store:
        store.add(WRITTEN, 1, now - DAY)
        store.add(WRITTEN, 2, now)
        assert store.replay(WRITTEN, ts=now - DAY - 1) == [1, 2]


def test_namespaces_of_time_without_a_retention_are_refused(redis_url: str):
    """A replay would have to ask for every day there ever was."""
    with pytest.raises(ValueError, match="needs a retention"):
        EventStore(redis_url, namespace=dated("x", "%Y%m%d"), retention=None)


@pytest.mark.parametrize("of_time", [False, True])
def test_what_is_older_than_the_retention_is_gone(redis_url: str, redis: Redis, namespace: str, of_time: bool):
    """S53.  Nothing ever expired, until Redis was full."""
    given = dated(namespace, "%Y%m%d") if of_time else namespace
    with EventStore(redis_url, namespace=given, retention=2) as store:
        store.add(WRITTEN, "neighbour")
        begun = store.query(WRITTEN, "neighbour")
        assert begun is not None
        assert store.add(WRITTEN, 1, begun - 1)
        assert not store.add(WRITTEN, 2, begun - 10)
        assert set(store.replay(WRITTEN)) == {1, "neighbour"}
        until(lambda: store.query(WRITTEN, 1) is None, "the first is not told any more", 10)
        assert store.replay(WRITTEN) == ["neighbour"]
        until(lambda: contents(redis, namespace) == {}, "the event goes, though nobody adds to it", 10)


def test_an_add_removes_what_is_too_old(redis_url: str, redis: Redis, namespace: str):
    """S53.  An event that never rests would keep every key that it ever had."""
    with EventStore(redis_url, namespace=namespace, retention=timedelta(seconds=1)) as store:
        store.add(WRITTEN, 1)
        until(lambda: store.query(WRITTEN, 1) is None, "it is too old", 10)
        store.add(WRITTEN, 2)
        assert [name for name, _ in contents(redis, namespace)[f"{namespace}:{WRITTEN}"]] == [b"2"]


def test_a_store_that_forgets_nothing_takes_the_end_from_what_had_one(redis_url: str, redis: Redis, namespace: str):
    """Else what was set to stay for ever goes with the time that was set before."""
    for retention in (60, None):
        with EventStore(redis_url, namespace=namespace, retention=retention) as store:
            store.add(WRITTEN, 1)
            assert (redis.ttl(f"{namespace}:{WRITTEN}") == -1) is (retention is None)


@pytest.mark.parametrize("kind", KEYS)
def test_keys_come_back_as_what_they_were(store: EventStore, kind: str):
    """S54.  A key that comes back as text finds no row, or another one."""
    keys: list[Pk] = [pk[0] if len(pk) == 1 else pk for pk in KEYS[kind]]
    store.add_all([(WRITTEN, pk, float(n)) for n, pk in enumerate(KEYS[kind])])
    assert store.replay(WRITTEN) == keys
    assert [type(pk) for pk in store.replay(WRITTEN)] == [type(pk) for pk in keys]
    assert [store.query(WRITTEN, pk) for pk in keys] == list(range(len(keys)))


def test_no_two_keys_have_one_member():
    """One of them would take the other's time."""
    keys = [1, "1", 1.5, "1.5", b"1", "MQ==", '{"b":"MQ=="}', (), "[]", (1, 2), "[1,2]", ("1", 2), (b"1", "1"), "", b""]
    assert len({member(pk) for pk in keys}) == len(keys)
    assert [pk_of(member(pk)) for pk in keys] == keys


def test_no_two_tables_have_one_event():
    """S8.  Tables of one name in two schemas were merged; a point in a name must not do it again."""
    assert event_name("shop", "user", "write") == WRITTEN
    assert event_name("", "user", "write") == "user_write"
    names = [("a", "b"), ("a.b", "c"), ("a", "b.c"), ("a%2Eb", "c"), ("a:b", "c"), ("a", "x_write"), ("", "a.b")]
    assert len({event_name(*one, "write") for one in names}) == len(names)
    assert not any(":" in event_name(*one, "write") for one in names)


def test_a_time_without_a_zone_is_refused(store: EventStore):
    """It would be taken for the zone of whatever host this runs on."""
    with pytest.raises(ValueError, match="no zone"):
        store.replay(WRITTEN, ts=datetime(2026, 7, 1))  # noqa: DTZ001 - it has none on purpose


# -- the sink


def test_each_action_is_an_event_at_the_time_of_its_commit(redis_url: str, namespace: str, store: EventStore):
    """The time of applying would differ at each rebuild, and hide what is applied late from who reads since then."""
    changes = Changes()
    batch = [changes.write(1), changes.update(1), changes.delete(1), changes.update("a", 2), changes.truncate()]
    apply(redis_url, namespace, batch)
    found = {action: store.replay(f"shop.user_{action}", with_ts=True) for action in ("write", "delete", "truncate")}
    times = [one.committed_at.timestamp() for one in batch]
    assert found == {"write": [(1, times[0])], "delete": [(1, times[2])], "truncate": [((), times[4])]}
    assert store.replay("shop.user_update", with_ts=True) == [(1, times[1]), (("a", 2), times[3])]


def test_the_order_and_the_repetition_of_records_do_not_matter(redis_url: str, redis: Redis, namespace: str):
    """After a crash records come again, and older ones after newer ones at a replay."""
    changes = Changes()
    records = [changes.write(1), changes.update(1), changes.update(1), changes.write(2)]
    apply(redis_url, namespace, records)
    wanted = contents(redis, namespace)
    assert len(wanted) == 2
    for order in permutations(records):
        redis.delete(*wanted)
        apply(redis_url, namespace, list(order[:2]), list(order), list(order[1:]))
        assert contents(redis, namespace) == wanted


def test_a_batch_larger_than_one_call_is_stored(redis_url: str, store: EventStore, namespace: str):
    """Lua's stack has 8,000 places; a script that is given more fails for ever."""
    changes = Changes()
    apply(redis_url, namespace, [changes.write(n) for n in range(9001)])
    assert store.replay(WRITTEN) == list(range(9001))


def test_schemas_are_kept_apart_unless_they_are_left_out(redis_url: str, namespace: str, store: EventStore):
    """S8.  A subscriber of a.test got the keys of b.test; who wants the names of meepo2 says so."""
    batch = [Changes("a", "test").write(1), Changes("b", "test").write(77)]
    apply(redis_url, namespace, batch)
    assert store.replay("a.test_write") == [1]
    assert store.replay("b.test_write") == [77]
    apply(redis_url, namespace, batch, with_schema=False)
    assert store.replay("test_write") == [1, 77]


def test_names_from_the_source_stay_names(redis_url: str, redis: Redis, namespace: str, store: EventStore):
    """A table may have any name; none may get into another key, or into the script."""
    odd = ["a:b", "*", "x\ny", "'\"]]", "{tag}", "☃", "%41"]
    apply(redis_url, namespace, [Changes("a.b", table).write(1) for table in odd])
    assert len(contents(redis, namespace)) == len(odd)
    assert [store.replay(event_name("a.b", table, "write")) for table in odd] == [[1]] * len(odd)


def test_the_namespace_is_that_of_the_prefix_and_else_taken_literally(redis_url: str, redis: Redis, namespace: str):
    """D40.  Two deployments on one Redis would mix; and what is given must be found under that name."""
    literal = f"{namespace}%Y{{x}}"
    apply(redis_url, literal, [Changes().write(1)])
    assert set(contents(redis, namespace.replace("test", "test", 1) + "%Y{x}")) == {f"{literal}:{WRITTEN}"}
    prefix = f"p{uuid.uuid4().hex[:12]}"
    one = connector.sink(Settings.model_validate({"url": redis_url}), Context(prefix, source_rows=_no_rows))
    one.open()
    one.apply([Changes().write(1)])
    with EventStore(redis_url, namespace=f"{prefix}:event_store", retention=None) as store:
        assert store.query(WRITTEN, 1) is None, "it is older than the three days that are kept"
    now = Changes().write(2)
    object.__setattr__(now, "committed_at", datetime.now(UTC))
    one.apply([now])
    one.close()
    assert redis.delete(f"{prefix}:event_store:{WRITTEN}") == 1


def test_a_set_for_each_day_has_the_names_of_meepo2(redis_url: str, redis: Redis, namespace: str):
    """Programs that read the old keys find them under the old names."""
    settings = {"namespace_time": "%Y%m%d", "with_schema": False, "retention_seconds": 100 * 365 * DAY}
    apply(redis_url, namespace, [Changes().write(1)], **settings)
    assert set(contents(redis, namespace)) == {f"{namespace}:20260701:user_write"}


@pytest.mark.parametrize("trouble", redis_troubles.TROUBLES)
def test_a_redis_that_takes_nothing_now_is_no_loss(trouble: str, own_redis: native.PrivateRedis, namespace: str):
    """The batch must come again, instead of being set aside or ending the process."""
    changes = Changes()
    one = sink(own_redis.url, namespace, timeout_seconds=redis_troubles.SHORT_TIMEOUT_SECONDS)
    one.open()
    redis_troubles.expect_patience(own_redis, trouble, one, [changes.write(1), changes.update(1)])
    one.close()
    with EventStore(own_redis.url, namespace=namespace, retention=None) as store:
        assert store.replay(WRITTEN) == [1]


@pytest.mark.parametrize("code", ["OOM", "BUSY", "MISCONF", "READONLY", "MASTERDOWN", "NOREPLICAS"])
@pytest.mark.parametrize("form", ["{} because", "Error running script (call to f_0): @user_script:1: -{} because"])
def test_what_older_servers_say_of_it_is_understood(code: str, form: str, redis: Redis):
    """Redis 6 puts the code of an error in a script into its middle."""
    with pytest.raises(TryAgain), translating(redis):
        raise ResponseError(form.format(code))


def test_an_account_that_may_not_is_for_a_person(own_redis: native.PrivateRedis, namespace: str):
    """Trying again for ever would hide it; a password must not get into a log."""
    batch = [Changes().write(1)]
    for rules in ("+@connection +info", "+@all"):  # without any keys
        with redis_troubles.account(own_redis, rules) as url:
            redis_troubles.expect_complaint(sink(url, namespace), batch)
    wrong = own_redis.url.replace("redis://", "redis://nobody:secret-of-a-test@")
    redis_troubles.expect_complaint(sink(wrong, namespace), batch)


def test_the_commands_that_the_readme_names_suffice(own_redis: native.PrivateRedis, namespace: str):
    """Who grants them must not find out at night that one is missing."""
    rules = re.search(r"ACL SETUSER cdc on >\S+ (.*)", (FOLDER / "README.md").read_text())
    assert rules is not None
    with redis_troubles.account(own_redis, rules[1].replace("~shop:event_store:*", f"~{namespace}:*")) as url:
        apply(url, namespace, [Changes().write(1)], retention_seconds=100 * 365 * DAY)
        with EventStore(url, namespace=namespace) as store:
            store.add(WRITTEN, 1)
            assert store.replay(WRITTEN) == [1]
            assert store.query(WRITTEN, 1)
            assert store.clear(WRITTEN)


def test_a_key_of_another_type_ends_the_process(redis_url: str, redis: Redis, namespace: str):
    """Somebody else's key is neither overwritten nor waited for."""
    redis.set(f"{namespace}:{WRITTEN}", "x", ex=60)
    with pytest.raises(Error, match="WRONGTYPE") as caught:
        apply(redis_url, namespace, [Changes().write(1)])
    assert not isinstance(caught.value, ConfigError)


# -- settings


def test_the_example_is_complete_and_loads():
    """A setting that is missing from it is not found."""
    settings, own = load_with("event_store", Settings, config=FOLDER / "example.toml", environment={})
    assert settings.prefix == "shop"
    assert own.model_fields_set == set(Settings.model_fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://x:secret-of-a-test@y"},
        {"namespace_time": "%Y", "retention_seconds": "0"},
        {"retention_seconds": "-1"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, str]):
    """Before anything is read."""
    given = {f"MEEPO2_EVENT_STORE_{name.upper()}": value for name, value in wrong.items()}
    with pytest.raises(ConfigError) as caught:
        load_with("event_store", Settings, environment=given)
    assert "secret-of-a-test" not in str(caught.value)


def test_it_is_found_by_its_name():
    """By the entry point, as the command finds it."""
    assert choose("event_store").connector is connector


# -- the command, from a source to the store

TABLE = "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))"
TUTORIAL = [
    "INSERT INTO test VALUES (1, 'a')",
    "INSERT INTO test VALUES (2, 'b'), (3, 'c'), (4, 'd')",
    "UPDATE test SET data = 'aa' WHERE id = 1",
    "UPDATE test SET data = 'bb' WHERE id = 2",
    "UPDATE test SET data = 'cc' WHERE id != 1",
    "DELETE FROM test WHERE id != 1",
    "DELETE FROM test WHERE id = 1",
]


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Commands that are gone at the end."""
    with ExitStack() as stack:
        yield stack


def launch(running: ExitStack, scene: Scene, url: str, **settings: str) -> Running:
    own = {"MEEPO2_EVENT_STORE_URL": url, "MEEPO2_RUN_COMMIT_INTERVAL_MS": "100", **QUICK, **settings}
    one = Running(["run", "event_store"], {**scene.settings, **own})
    running.callback(one.kill)
    return one


def by_action(store: EventStore, scene: Scene) -> dict[str, set[Pk]]:
    actions = ("write", "update", "delete")
    return {one: set(store.replay(f"{scene.database}.test_{one}")) for one in actions}


@both_own
def test_what_changed_since_is_told_and_a_rebuilt_store_is_the_same(
    scene: Scene, redis_url: str, redis: Redis, running: ExitStack
):
    """S85, S56.  From SQL to the store; then the store is lost, and made again from the topics."""
    scene.run(TABLE, *TUTORIAL)
    scene.caught_up()
    namespace = f"{scene.prefix}:event_store"
    with EventStore(redis_url, namespace=namespace) as store:
        connecting = launch(running, scene, redis_url)
        wanted: dict[str, set[Pk]] = {"write": {1, 2, 3, 4}, "update": {1, 2, 3, 4}, "delete": {1, 2, 3, 4}}
        until(lambda: by_action(store, scene) == wanted, "the events of the tutorial")
        assert connecting.stop().code == 0
        before = contents(redis, namespace)
        since = max(at for pairs in before.values() for _, at in pairs)
        assert 1 in store.replay(f"{scene.database}.test_delete", ts=since)
        launch(running, scene, redis_url)
        scene.run("INSERT INTO test VALUES (5, 'e')")
        scene.caught_up()
        until(lambda: store.query(f"{scene.database}.test_write", 5), "what came after the restart")
        before = contents(redis, namespace)
    redis.delete(*before)
    scene.settings["MEEPO2_EVENT_STORE_URL"] = redis_url
    outcome = scene.command("replay", "event_store", "--from-offset", "earliest")
    assert outcome.code == 0, outcome.err
    assert contents(redis, namespace) == before


def test_the_program_in_the_readme_prints_what_changed(redis_url: str, namespace: str):
    """Whoever copies it must not be the first to run it."""
    text = (FOLDER / "README.md").read_text()
    program = re.search(r"^ *python -c '(.*?)'$", text, re.DOTALL | re.MULTILINE)
    assert program is not None
    code = (
        textwrap.dedent(program[1])
        .replace("redis://localhost:6379/0", redis_url)
        .replace("shop:event_store", namespace)
    )
    with EventStore(redis_url, namespace=namespace) as store:
        store.add(WRITTEN, 7)
        store.add(WRITTEN, ("a", 8))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment({}))
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["7", "8)"]


def test_the_commands_of_the_readme_are_there():
    """Their names and options, by asking for help."""
    text = (FOLDER / "README.md").read_text()
    lines = [line.strip() for line in text.splitlines() if line.startswith("    meepo2-cdc ")]
    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)
        assert Running([*words[1:], "--help"], {}).end().code == 0, line


# -- faults


def test_the_store_is_exact_after_kills_of_both_ends(
    own_mariadb: Server, make_scene: MakeScene, own_redis: native.PrivateRedis, running: ExitStack
):
    """kill -9 of the connector and of Redis, at random moments; then the store has what the topics have."""
    scene = make_scene(own_mariadb)
    kill_at_random(scene, own_redis, lambda: launch(running, scene, own_redis.url, **SUCCESSOR), SEED, SECONDS)
    wanted = in_the_topics(scene)
    with closing(Redis.from_url(own_redis.url)) as redis:

        def differing() -> dict[str, int]:
            """Events, and how many of their keys are missing, too many or at another time."""
            held = contents(redis, f"{scene.prefix}:event_store")
            found = {key.rpartition(":")[2]: set(pairs) for key, pairs in held.items()}
            pairs = {event: found.get(event, set()) ^ wanted.get(event, set()) for event in found | wanted}
            return {event: len(odd) for event, odd in pairs.items() if odd}

        last = launch(running, scene, own_redis.url)
        try:
            until(lambda: not differing(), "the store equals the topics")
        except AssertionError:
            raise AssertionError(f"seed {SEED}: {differing()}\n{last.said}") from None


def in_the_topics(scene: Scene) -> dict[str, set[tuple[bytes, float]]]:
    """For each event its members and their newest times."""
    newest: dict[tuple[str, bytes], float] = {}
    for record in (read.action for read in scene.reads()):
        if record is not None:
            entry = event_name(record.schema, record.table, record.action), member(record.pk)
            newest[entry] = max(record.committed_at.timestamp(), newest.get(entry, 0.0))
    found: dict[str, set[tuple[bytes, float]]] = {}
    for (event, name), at in newest.items():
        found.setdefault(event, set()).add((name, at))
    return found
