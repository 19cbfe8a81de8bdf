"""
The connector `rq`: jobs in a real Redis, done by real workers of python-rq.
"""

from __future__ import annotations

import os
import random
import re
import signal
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.testing import Changes, TellingContract
from meepo2_connectors.rq import connector as installed
from meepo2_connectors.rq.jobs import grouped
from meepo2_connectors.rq.settings import Settings
from meepo2_connectors.rq.sink import RqSink
from tests.acceptance import tutorial
from tests.command import Running, until
from tests.connectors import rq_jobs, telling
from tests.connectors.load import Load
from tests.scenes import Scene
from tests.services import native

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))
FUNCTION = "tests.connectors.rq_jobs.refresh"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.PrivateRedis]:
    with native.redis(tmp_path_factory.mktemp("redis")) as one:
        yield one


class Queued:
    """A queue in an empty Redis, and a worker for it."""

    def __init__(self, server: native.PrivateRedis) -> None:
        self._server = server
        self.redis = redis.Redis.from_url(server.url)
        self.redis.flushall()
        rq_jobs.called.clear()

    def sink(self, **settings: Any) -> RqSink:
        return RqSink(Settings(**{"function": FUNCTION, "url": SecretStr(self._server.url), **settings}), "shop")

    @property
    def queue(self) -> Queue:
        return Queue("default", connection=self.redis, serializer=JSONSerializer)

    def work(self) -> list[tuple[str, str, list[Any]]]:
        """Does all jobs there are, one after the other; every call so far."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            SimpleWorker([self.queue], connection=self.redis, serializer=JSONSerializer).work(burst=True)
        finally:
            for number, receiver in before.items():
                signal.signal(number, receiver)
        return rq_jobs.called

    def told(self, count: int) -> list[tuple[Action, Any]]:
        calls = [(action, pks if action != "truncate" else [[]]) for _, action, pks in self.work()]
        found = [(Action(action), _key(pk)) for action, pks in calls for pk in pks]
        assert len(found) >= count
        return found

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


def _key(pk: Any) -> tuple[Any, ...]:
    return tuple(map(telling.key_part_of, pk if isinstance(pk, list) else [pk]))


@pytest.fixture
def queued(server: native.PrivateRedis) -> Iterator[Queued]:
    one = Queued(server)
    yield one
    rq_jobs.failing = False
    server.start()
    one.redis.close()


@contextmanager
def opened(queued: Queued, **settings: Any) -> Iterator[RqSink]:
    sink = queued.sink(**settings)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


class TestContract(TellingContract):
    @pytest.fixture
    def target(self, queued: Queued) -> Queued:
        return queued


# -- which calls a batch becomes


def test_a_batch_becomes_one_call_for_each_table_and_action(queued: Queued) -> None:
    """A job for each row is what a queue does worst; a list in the wrong order tells another history."""
    changes = Changes()
    batch = [
        changes.write(1), changes.write(2, table="seat"), changes.write(3), changes.update(1), changes.write(4),
    ]  # fmt: skip
    with opened(queued) as sink:
        sink.apply(batch)
    assert queued.work() == [
        ("shop.user", "write", [1, 3, 4]), ("shop.seat", "write", [2]), ("shop.user", "update", [1]),
    ]  # fmt: skip


records = st.builds(
    lambda table, action, key: (table, action, key),
    st.sampled_from(["a", "b"]),
    st.sampled_from(list(Action)),
    st.integers(0, 3),
)


@given(st.lists(records, max_size=40))
def test_each_key_hears_its_changes_in_their_order(wanted: list[tuple[str, Action, int]]) -> None:
    """A delete that is told before its write leaves a row that is gone; a truncate concerns all keys."""
    changes = Changes()
    batch = [
        changes.truncate(table) if action is Action.TRUNCATE else getattr(changes, action.value)(key, table=table)
        for table, action, key in wanted
    ]
    told = [record for group in grouped(batch) for record in group]
    assert sorted(told, key=lambda one: one.seq) == batch
    assert _histories(told) == _histories(batch)
    assert all(len({(one.table, one.action) for one in group}) == 1 for group in grouped(batch))


def _histories(batch: Sequence[TableAction]) -> dict[tuple[str, int], list[int]]:
    """What each key of each table hears, truncates among it."""
    found: dict[tuple[str, int], list[int]] = defaultdict(list)
    for record in batch:
        for key in range(4) if record.action is Action.TRUNCATE else record.pk:
            found[record.table, int(key)].append(record.seq)
    return found


# -- repeats


def test_a_batch_that_comes_again_is_not_enqueued_again(queued: Queued) -> None:
    """After a crash between enqueueing and committing everything comes again; mails would be sent twice."""
    batch = [Changes().write(n) for n in range(3)]
    with opened(queued) as sink:
        sink.apply(batch)
        sink.apply(batch)
        assert len(queued.queue) == 1
        assert len(queued.work()) == 1
        sink.apply(batch)
    assert len(queued.work()) == 1, "not while the finished job is kept either"


def test_other_records_are_other_jobs(queued: Queued) -> None:
    """An id that two batches share would lose one of them."""
    changes = Changes()
    first, middle, other, last = (changes.write(n) for n in range(4))
    with opened(queued) as sink:
        sink.apply([first, middle, last])
        sink.apply([first, other, last])
    assert [pks for _, _, pks in queued.work()] == [[0, 1, 3], [0, 2, 3]]


def test_a_job_that_failed_is_enqueued_anew(queued: Queued) -> None:
    """Who mends the function and replays the records wants them done; the failed job is kept for a year."""
    batch = [Changes().write(1)]
    with opened(queued) as sink:
        sink.apply(batch)
        rq_jobs.failing = True
        assert queued.work() == []
        assert queued.queue.failed_job_registry.count == 1
        rq_jobs.failing = False
        sink.apply(batch)
    assert queued.work() == [("shop.user", "write", [1])]
    assert queued.queue.failed_job_registry.count == 0


# -- what is in Redis


def test_jobs_are_json_and_tell_no_keys_in_their_description(queued: Queued) -> None:
    """A pickle runs code in the worker; the description is logged by every worker."""
    with opened(queued, queue="default", job_timeout_seconds=7, result_ttl_seconds=8, failure_ttl_seconds=9) as sink:
        sink.apply([Changes().write("secret-key", b"\x00")])
    (job,) = queued.queue.jobs
    data = queued.redis.hget(job.key, "data")
    assert data is not None
    raw = JSONSerializer.loads(zlib.decompress(data))
    assert raw[0] == FUNCTION
    assert raw[2] == ["shop.user", "write", [["secret-key", {"base64": "AA=="}]]]
    assert job.description == f"{FUNCTION}: write of 1 in shop.user"
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (7, 8, 9)


# -- Redis in trouble


def test_a_redis_without_memory_is_waited_for(queued: Queued) -> None:
    """Its refusal concerns every job; as a dead letter each record would be lost to the queue."""
    with opened(queued) as sink:
        queued.redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(TryAgain) as caught:
                sink.apply([Changes().write(1)])
        finally:
            queued.redis.config_set("maxmemory", "0")
    assert caught.value.records == ()
    assert len(queued.queue) == 0


def test_a_redis_that_refuses_the_password_ends_the_start(queued: Queued, server: native.PrivateRedis) -> None:
    """And the message has no password in it."""
    wrong = server.url.replace("redis://", "redis://nobody:wrong-password@")
    with pytest.raises(ConfigError, match="refuses access") as caught:
        queued.sink(url=SecretStr(wrong)).open()
    assert "wrong-password" not in str(caught.value)
    with pytest.raises(ConfigError, match="no address"):
        queued.sink(url=SecretStr("http://x")).open()


def test_a_redis_that_is_away_at_the_start_is_waited_for(queued: Queued) -> None:
    """The order in which services start must not matter."""
    queued.stop()
    with pytest.raises(TryAgain):
        queued.sink().open()


# -- the settings


@pytest.mark.parametrize("function", ["refresh", "my app.refresh", "os.system('x')", ".refresh"])
def test_what_names_no_function_is_refused(function: str) -> None:
    """Every job would fail, in the worker."""
    with pytest.raises(ConfigError, match="MEEPO2_RQ_FUNCTION"):
        load_with("rq", Settings, environment={"MEEPO2_RQ_FUNCTION": function})


def test_the_example_is_accepted(tmp_path: Path) -> None:
    """What people copy first must work."""
    text = (telling.CONNECTORS / "rq" / "example.toml").read_text()
    assert "/run/secrets/redis-url" in text
    (tmp_path / "redis-url").write_text("redis://:secret@cache:6379/0\n")
    (tmp_path / "example.toml").write_text(text.replace("/run/secrets/redis-url", str(tmp_path / "redis-url")))
    _, own = load_with("rq", Settings, config=tmp_path / "example.toml", environment={})
    assert own.url.get_secret_value() == "redis://:secret@cache:6379/0"
    assert "secret@" not in repr(own)
    assert not installed.coalesce


# -- the installed command


def test_the_tutorial_reaches_the_worker_of_the_readme(
    scene: Scene, queued: Queued, server: native.PrivateRedis, tmp_path: Path
) -> None:
    """What RqReplicator was: an ordinary `rq worker`, and a function that gets lists of keys."""
    telling.capture_tutorial(scene)
    (module,) = telling.shown("rq", "python")
    (tmp_path / "jobs.py").write_text(module)
    shown = {"redis://localhost:6379/0": server.url}
    with telling.example(scene, "rq", tmp_path, 0, replaced=shown) as connector:
        with telling.example(scene, "rq", tmp_path, 1, replaced=shown) as worker:
            until(lambda: len(_keys(worker)) >= len(tutorial.CHANGES), "all keys")
            worker.stop()
        ended = connector.stop()
    assert ended.code == 0, ended.err
    assert sorted(_keys(worker)) == sorted((action, pk[0]) for action, pk in tutorial.CHANGES)


def _keys(worker: Running) -> list[tuple[str, int]]:
    """Out of lines such as `shop.test write [1, 2]`, among those that rq logs."""
    lines = re.findall(r"^\w+\.test (\w+) \[(.*)\]$", worker.printed, flags=re.MULTILINE)
    return [(action, int(pk)) for action, pks in lines for pk in pks.split(",")]


def test_kills_of_both_ends_lose_no_key(kafka: str, prefix: str, queued: Queued, server: native.PrivateRedis) -> None:
    """A job that was never enqueued is missed by nobody until it is too late."""
    dice = random.Random(SEED)  # noqa: S311 - moments, not secrets
    settings = {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_KAFKA_GROUP_INSTANCE_ID": "one", "MEEPO2_PREFIX": prefix,
        "MEEPO2_RQ_URL": server.url, "MEEPO2_RQ_FUNCTION": FUNCTION, "MEEPO2_RUN_RETRY_MAX_SECONDS": "1",
    }  # fmt: skip
    with Load(kafka, prefix, SEED, once=True) as load:
        for number in range(3 + int(SECONDS / 10)):
            with _connector(settings) as one:
                _wait_for_jobs(queued, dice.randint(1, 20))
                if number % 2:
                    server.kill()
                    one.wait_for("The target was not ready")
                    server.start()
                    _wait_for_jobs(queued, dice.randint(1, 20))
        load.stop()
        with _connector(settings) as last:
            wanted = {one.pk[0] for one in load.written}
            until(lambda: _told(queued) >= wanted, "every key")
            assert last.stop().code == 0
    assert _told(queued) == wanted


@contextmanager
def _connector(settings: dict[str, str]) -> Iterator[Running]:
    one = Running(["run", "rq"], settings)
    try:
        yield one
    finally:
        one.kill()


def _wait_for_jobs(queued: Queued, more: int) -> None:
    wanted = len(queued.queue) + more
    until(lambda: len(queued.queue) >= wanted, f"{more} more jobs")


def _told(queued: Queued) -> set[int]:
    return {pk for job in queued.queue.jobs for pk in job.args[2]}
