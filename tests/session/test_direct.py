"""
Direct delivery: prepared in Redis, published behind the commit, settled by a recovery.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from meepo2_cdc.capture.session.direct import NotPrepared
from meepo2_cdc.capture.session.doubts import Doubts
from meepo2_cdc.capture.session.markers import Markers, Outcome, marker_table
from tests.command import run, until
from tests.faults.owned import LONG
from tests.services import native
from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import Zero
from tests.session.relaying import committed, plain

TIMEOUT_SECONDS = 1.0


class Directly:
    """What a direct delivery is set up with, and what it did."""

    def __init__(self, database: Database, kafka: str, redis_url: str, prefix: str) -> None:
        self.database, self.kafka, self.prefix = database, kafka, prefix
        self.markers = marker_table("meepo2_transactions")
        self.markers.create(database.engine)
        self.doubts = Doubts(redis_url, prefix, 5)
        self.settings: dict[str, Any] = {
            "delivery": "direct",
            "prefix": prefix,
            "bootstrap_servers": kafka,
            "redis_url": redis_url,
            "namespace": prefix,
            "timeout_seconds": TIMEOUT_SECONDS,
            "settle_seconds": 0.2,
        }

    def told(self) -> list[Any]:
        return plain(sorted(committed(self.kafka, self.prefix), key=lambda record: record.seq))

    def marked(self) -> list[Any]:
        with self.database.engine.connect() as connection:
            return list(connection.execute(select(self.markers.c.transaction_id, self.markers.c.changes)))

    @property
    def variables(self) -> dict[str, str]:
        return {
            "MEEPO2_SESSION_DSN": self.database.dsn,
            "MEEPO2_SESSION_REDIS_URL": self.settings["redis_url"],
            "MEEPO2_SESSION_NAMESPACE": self.prefix,
            "MEEPO2_SESSION_SETTLE_SECONDS": "0.01",
            "MEEPO2_PREFIX": self.prefix,
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
        }


@pytest.fixture
def direct(database: Database, kafka: str, redis_url: str, prefix: str) -> Directly:
    return Directly(database, kafka, redis_url, prefix)


@pytest.fixture
def one(sqlite: Database, kafka: str, redis_url: str, prefix: str) -> Directly:
    """On SQLite only."""
    return Directly(sqlite, kafka, redis_url, prefix)


def test_a_transaction_is_in_doubt_until_it_is_published(direct: Directly, publish: Publish):
    """S38, S40: what is not recorded before the commit cannot be recovered behind it."""
    maker = sessionmaker(direct.database.engine)
    publish(maker, **direct.settings)
    with maker() as session:
        session.add_all([Zero(id=one) for one in (2, 3, 4)])
        session.commit()
        until(lambda: direct.doubts.listing() == {}, "all is settled")
        session.add(Zero(id=1))
        session.get_one(Zero, 2).data = "x"
        session.flush()
        session.get_one(Zero, 3).data = "x"
        session.delete(session.get_one(Zero, 4))
        session.flush()
        (event,) = direct.doubts.listing().values()
        assert event == {"zero_write": {1}, "zero_update": {2, 3}, "zero_delete": {4}}
        session.commit()
    until(lambda: direct.doubts.listing() == {}, "all is settled")
    assert len(direct.told()) == 7
    records = list(committed(direct.kafka, direct.prefix))
    assert {record.source.name for record in records} == {"session"}
    assert len({record.seq for record in records}) == 7


def test_nothing_is_published_of_a_rollback(direct: Directly, publish: Publish):
    """S39, and a savepoint of it."""
    maker = sessionmaker(direct.database.engine)
    publish(maker, **direct.settings)
    with maker() as session:
        session.add(Zero(id=1))
        session.flush()
        session.rollback()
        assert direct.doubts.listing() == {}
        with session.begin_nested() as inner:
            session.add(Zero(id=2))
            session.flush()
            inner.rollback()
        assert direct.doubts.listing() == {}
        session.add(Zero(id=3))
        session.flush()
        with session.begin_nested() as inner:
            session.add(Zero(id=4))
            session.flush()
            inner.rollback()
        assert list(direct.doubts.listing().values()) == [{"zero_write": {3}}]
        session.commit()
    until(lambda: direct.doubts.listing() == {}, "all is settled")
    assert direct.told() == [("write", "zero", 3)]


def test_the_database_says_what_became_of_a_transaction(direct: Directly):
    """S43, S44: the predecessor left the same marks in both cases."""
    markers = Markers(direct.database.engine, "meepo2_transactions")
    insert = direct.markers.insert()
    with direct.database.engine.connect() as connection:
        connection.execute(insert.values(transaction_id="a", marked_at=1))
        assert markers.outcome("a") is Outcome.OPEN
        connection.commit()
    assert markers.outcome("a") is Outcome.COMMITTED
    assert markers.outcome("b") is Outcome.GONE
    assert [row.transaction_id for row in direct.marked()] == ["a"], "to ask leaves nothing"


def test_a_recovery_publishes_what_was_committed_and_forgets_the_rest(direct: Directly):
    """S43, S44, S46, by the command: an application that never comes back is no reason to lose its changes."""
    from meepo2_cdc.capture.session.changes import Change
    from meepo2_cdc.records import Action

    change = Change(Action.WRITE, "s", "zero", (1,))
    direct.doubts.prepare("a" * 32, [change])
    direct.doubts.prepare("b" * 32, [Change(Action.WRITE, "s", "zero", (2,))])
    with direct.database.engine.begin() as connection:
        connection.execute(direct.markers.insert().values(transaction_id="a" * 32, marked_at=1))
    listed = run("recover", "--list", settings=direct.variables)
    assert [json.loads(line)["changes"] for line in listed.out.splitlines()] == [
        {"zero_write": ["1"]},
        {"zero_write": ["2"]},
    ]
    outcome = run("recover", settings=direct.variables)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == {"committed": 1, "gone": 1}
    assert direct.told() == [("write", "zero", 1)]
    assert direct.doubts.listing() == {}
    assert json.loads(run("recover", settings=direct.variables).out) == {}


def test_what_was_prepared_before_midnight_is_listed_today(one: Directly, redis_url: str):
    """S46: the predecessor looked into a set of each day's own."""
    from meepo2_cdc.capture.session.changes import Change
    from meepo2_cdc.records import Action

    one.doubts.prepare("a", [Change(Action.WRITE, "s", "zero", (1,))])
    days_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    client = redis.Redis.from_url(redis_url)
    client.zadd(f"{one.prefix}:session:prepared", {"a": days_ago})
    client.hset(f"{one.prefix}:session:prepared:a", "prepared_at", days_ago)
    assert one.doubts.listing() == {"a": {"zero_write": {1}}}
    assert client.ttl(f"{one.prefix}:session:prepared:a") == -1, "it may not be forgotten either"
    client.close()


def test_a_commit_whose_outcome_is_unknown_is_left_to_the_recovery(one: Directly, publish: Publish):
    """The connection may break when the server has committed and not yet said so."""
    one.settings["settle_seconds"] = 1
    publish(maker := sessionmaker(one.database.engine), **one.settings)
    dialect = one.database.engine.dialect
    right = dialect.do_commit

    def commit_and_break(connection: Any) -> None:
        right(connection)
        raise sqlite3.OperationalError("the connection is lost")

    with maker() as session:
        session.add(Zero(id=1))
        dialect.do_commit = commit_and_break  # type: ignore[method-assign]
        with pytest.raises(OperationalError):
            session.commit()
        dialect.do_commit = right  # type: ignore[method-assign]
        session.rollback()
        assert len(one.doubts.listing()) == 1
    until(lambda: one.doubts.listing() == {}, "it is settled")
    assert one.told() == [("write", "zero", 1)]


# -- Redis and Kafka away


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[native.PrivateRedis]:
    (tmp_path / "redis").mkdir()
    with native.redis(tmp_path / "redis") as made:
        yield made


def timed_commit(session: Session) -> float:
    began = time.monotonic()
    session.commit()
    return time.monotonic() - began


MARGIN_SECONDS = 1.0
"""For a machine that is busy otherwise."""


def test_a_strict_transaction_fails_without_redis(one: Directly, own_redis: native.PrivateRedis, publish: Publish):
    """S41: strict means that nothing is committed that could not be recovered."""
    publish(maker := sessionmaker(one.database.engine), **one.settings | {"redis_url": own_redis.url, "strict": True})
    own_redis.kill()
    with maker() as session:
        session.add(Zero(id=1))
        with pytest.raises(NotPrepared, match="must not commit"):
            session.commit()
        session.rollback()
        assert session.scalars(select(Zero)).all() == []
        own_redis.start()
        session.add(Zero(id=2))
        session.commit()
    assert one.told() == [("write", "zero", 2)]


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_another_transaction_commits_in_time_without_redis_and_is_published(
    how: str, one: Directly, own_redis: native.PrivateRedis, publish: Publish
):
    """S42, D27: the predecessor's timeout ended the commit of the application."""
    publish(maker := sessionmaker(one.database.engine), **one.settings | {"redis_url": own_redis.url})
    with maker() as session:
        session.add(Zero(id=1))
        session.commit()
        own_redis.kill() if how == "killed" else _signal(own_redis.pid, signal.SIGSTOP)
        for key in (2, 3):
            session.add(Zero(id=key))
            assert timed_commit(session) < TIMEOUT_SECONDS + MARGIN_SECONDS
        own_redis.start() if how == "killed" else _signal(own_redis.pid, signal.SIGCONT)
    until(lambda: sorted(set(one.told())) == [("write", "zero", key) for key in (1, 2, 3)], "all are published")


def _signal(pid: int, number: int) -> None:
    os.kill(pid, number)


@pytest.mark.parametrize("how", ["refusing", "silent"])
def test_a_commit_does_not_wait_for_a_broker_that_is_away(how: str, one: Directly, publish: Publish):
    """S42, S35: the row is committed, the session stays usable, and what is late is published later."""
    with closing(socket.socket()) as port:
        port.bind(("127.0.0.1", 0))
        if how == "silent":
            port.listen()
        one.settings["bootstrap_servers"] = f"127.0.0.1:{port.getsockname()[1]}"
        publish(maker := sessionmaker(one.database.engine), **one.settings)
        with maker() as session:
            for key in (1, 2, 3):
                session.add(Zero(id=key))
                assert timed_commit(session) < TIMEOUT_SECONDS + MARGIN_SECONDS
        assert len(one.doubts.listing()) == 3
    assert run("recover", settings=one.variables).code == 0
    assert one.told() == [("write", "zero", 1), ("write", "zero", 2), ("write", "zero", 3)]
    assert one.doubts.listing() == {}


def test_a_broker_that_was_frozen_gets_what_was_committed_meanwhile(one: Directly, tmp_path: Path, publish: Publish):
    """S42: nobody restarts the application, and nobody runs a command."""
    (tmp_path / "kafka").mkdir()
    with native.kafka(tmp_path / "kafka", 1, {}) as broker:
        one.kafka = one.settings["bootstrap_servers"] = broker.address
        publish(maker := sessionmaker(one.database.engine), **one.settings)
        with maker() as session:
            session.add(Zero(id=1))
            session.commit()
            until(lambda: one.doubts.listing() == {}, "the first one is published")
            _signal(broker.pid, signal.SIGSTOP)
            for key in (2, 3):
                session.add(Zero(id=key))
                assert timed_commit(session) < TIMEOUT_SECONDS + MARGIN_SECONDS
            began = time.monotonic()
            until(lambda: time.monotonic() - began > (30 if LONG else 3), "it was frozen for long enough")
            _signal(broker.pid, signal.SIGCONT)
        until(lambda: one.doubts.listing() == {}, "all are published")
        assert set(one.told()) == {("write", "zero", key) for key in (1, 2, 3)}


def test_a_savepoint_that_redis_did_not_hear_of_is_not_published(
    one: Directly, own_redis: native.PrivateRedis, publish: Publish
):
    """Redis still has the savepoint's rows when it comes back; the marker knows better."""
    one.settings |= {"redis_url": own_redis.url, "bootstrap_servers": "127.0.0.1:1"}
    one.doubts = Doubts(own_redis.url, one.prefix, 5)
    publish(maker := sessionmaker(one.database.engine), **one.settings | {"settle_seconds": 60})
    with maker() as session:
        session.add(Zero(id=1))
        session.flush()
        with session.begin_nested() as inner:
            session.add(Zero(id=2))
            session.flush()
            own_redis.kill()
            inner.rollback()
        session.commit()
    own_redis.start()
    assert list(one.doubts.listing().values()) == [{"zero_write": {1, 2}}]
    assert json.loads(run("recover", settings=one.variables).out) == {"committed": 1}
    assert one.told() == [("write", "zero", 1)]
    assert one.doubts.listing() == {}
