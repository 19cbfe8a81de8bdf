"""
From the outbox to Kafka, exactly once.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from tests.command import run, until
from tests.faults.owned import LONG
from tests.services import native
from tests.session.conftest import Publish
from tests.session.databases import Database, on
from tests.session.models import Comp, Model, Zero
from tests.session.relaying import Relayed, by_key, plain, relayed, without_gap

DRIVER = "postgresql+psycopg"
KILLS = 40 if LONG else 4


@pytest.fixture
def relay(database: Database, kafka: str, prefix: str) -> Iterator[Relayed]:
    with relayed(database, kafka, prefix) as made:
        yield made


def test_committed_changes_become_records_and_leave_the_outbox(
    relay: Relayed, maker: sessionmaker[Session], publish: Publish
):
    """The whole way once, on every database."""
    publish(maker)
    with maker() as session:
        session.add_all([Zero(id=1), Comp(a=1, b="ß 😀")])
        session.commit()
        session.get_one(Zero, 1).data = "x"
        session.commit()
        session.add(Zero(id=2))
        session.flush()
        session.rollback()
    outcome = relay.once()
    assert outcome.code == 0, outcome.err
    records = relay.records()
    assert sorted(plain(records)) == [("update", "zero", 1), ("write", "comp", 1, "ß 😀"), ("write", "zero", 1)]
    assert without_gap(records)
    assert {one.schema for one in records} == {relay.database.schema}
    assert {one.source.name for one in records} == {"session"}
    assert {one.source.file for one in records} == {"meepo2_outbox"}
    assert len({one.source.gtid for one in records}) == 2, "the transactions can be told apart"
    assert relay.database.waiting() == 0


def test_a_row_with_a_low_id_that_is_committed_late_is_not_lost(
    relay: Relayed, maker: sessionmaker[Session], publish: Publish
):
    """A relay that keeps its place by id has passed it by then."""
    if relay.database.engine.dialect.name == "sqlite":
        return  # it has one writer at a time: nothing commits out of order
    publish(maker)
    running = relay.start()
    with maker() as early, maker() as late:
        early.add(Zero(id=1))
        early.flush()
        late.add(Zero(id=2))
        late.commit()
        until(lambda: plain(relay.records()) == [("write", "zero", 2)], "the later id is relayed")
        early.commit()
    until(lambda: len(relay.records()) == 2, "the earlier one as well")
    assert running.stop().code == 0
    assert plain(relay.records()) == [("write", "zero", 2), ("write", "zero", 1)]


def test_the_relay_is_killed_at_random_moments_and_the_records_are_exact(
    relay: Relayed, maker: sessionmaker[Session], publish: Publish
):
    """Between its Kafka transaction and the removal of the rows lies a kill that repeats or loses them."""
    publish(maker)
    relay.database.begins = "BEGIN IMMEDIATE"  # SQLite fails a reader that wants to write while another one does
    chance = random.Random(7)  # noqa: S311 - of a test
    stop, expected, lock = threading.Event(), [], threading.Lock()

    def work(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            key = worker * 1_000_000 + number
            with maker() as session:
                row = Zero(id=key)
                session.add(row)
                _commit(session)
                row.data = "x"
                _commit(session)
                if number % 3 == 0:
                    session.delete(row)
                    _commit(session)
            with lock:
                expected.extend([("write", "zero", key), ("update", "zero", key)])
                expected.extend([("delete", "zero", key)] if number % 3 == 0 else [])

    workers = [threading.Thread(target=work, args=(one,)) for one in range(1, 2 if _sqlite(relay) else 4)]
    for one in workers:
        one.start()
    try:
        for _ in range(KILLS):
            running = relay.start()
            threading.Event().wait(chance.random() * 0.5)
            running.kill()
    finally:
        stop.set()
        for one in workers:
            one.join()
    assert relay.once().code == 0
    records = relay.records()
    print(f"{relay.database.url.drivername}: {KILLS} kills, {len(records)} records")
    assert sorted(plain(records)) == sorted(expected)
    assert without_gap(records)
    assert by_key(plain(records)) == by_key(expected)
    assert relay.database.waiting() == 0


def _sqlite(relay: Relayed) -> bool:
    return relay.database.engine.dialect.name == "sqlite"


def _commit(session: Session) -> None:
    session.commit()


def test_a_second_relay_takes_over_and_the_first_ends(sqlite: Database, kafka: str, prefix: str, publish: Publish):
    """Two that both believe to be the one would publish rows twice."""
    maker = sessionmaker(sqlite.engine)
    publish(maker)
    with relayed(sqlite, kafka, prefix) as relay:
        first, second = relay.start(), relay.start()
        with maker() as session:
            session.add(Zero(id=1))
            session.commit()
        until(lambda: sqlite_rows(sqlite) == 0, "the row is relayed")
        with maker() as session:
            session.add(Zero(id=2))
            session.commit()
        until(lambda: sqlite_rows(sqlite) == 0, "the second row is relayed")
        until(lambda: not (first.runs and second.runs) or _busy(maker), "one of them hears of the other")
        assert first.end().code == 4
        assert second.stop().code == 0
        records = relay.records()
        assert without_gap(records)
        assert len({(one.action, one.pk) for one in records}) == len(records)


def _busy(maker: sessionmaker[Any]) -> bool:
    """One more row, so that both relays have something to do."""
    with maker() as session:
        session.add(Zero(id=time.time_ns() // 1000))
        session.commit()
    return False


def sqlite_rows(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.execute(text("select count(*) from meepo2_outbox")).scalar_one())


def test_standbys_wait_and_take_over(sqlite: Database, kafka: str, prefix: str):
    """High availability is two of them and no split."""
    with relayed(sqlite, kafka, prefix) as relay:
        first = relay.start("--standby")
        second = relay.start("--standby", wait=False)
        second.wait_for("Standing by")
        first.kill()
        second.wait_for("Relay started")
        assert second.stop().code == 0


def test_the_outbox_is_made_by_the_command(sqlite: Database, kafka: str, prefix: str):
    """Who has no table is told of the command, and it makes the same table that the publisher writes to."""
    sqlite.outbox.drop(sqlite.engine)
    with relayed(sqlite, kafka, prefix) as relay:
        missing = relay.once()
        assert missing.code == 2
        assert "has no table meepo2_outbox" in missing.err
        assert relay.once("--create").code == 0
        assert relay.once("--create").code == 0
    assert {one["name"] for one in inspect(sqlite.engine).get_columns("meepo2_outbox")} == set(sqlite.outbox.c.keys())


def test_a_lost_checkpoint_is_told_and_not_passed_over(sqlite: Database, kafka: str, prefix: str, publish: Publish):
    """Rows may be published that are not removed yet."""
    from confluent_kafka.admin import AdminClient

    maker = sessionmaker(sqlite.engine)
    publish(maker)
    with relayed(sqlite, kafka, prefix) as relay:
        with maker() as session:
            session.add(Zero(id=1))
            session.commit()
        assert relay.once().code == 0
        admin = AdminClient({"bootstrap.servers": kafka})
        topic = f"{prefix}.checkpoints.session"
        admin.delete_topics([topic])[topic].result(30)
        until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone")
        lost = relay.once()
        assert lost.code == 3, lost.err
        assert "--without-checkpoint" in lost.complaint
        assert relay.once("--without-checkpoint").code == 0


def test_an_unreadable_row_stops_the_relay_and_is_named(sqlite: Database, kafka: str, prefix: str):
    """Passed over it would be a lost change."""
    with sqlite.engine.begin() as connection:
        connection.execute(sqlite.outbox.insert().values(transaction_id="x", flushed_at=0, changes='{"v":2}'))
    with relayed(sqlite, kafka, prefix) as relay:
        outcome = relay.once()
    assert outcome.code == 5
    assert "id 1 of meepo2_outbox" in outcome.complaint


def test_the_address_of_the_database_is_never_shown_with_its_password(kafka: str, prefix: str):
    """Logs are read by many."""
    settings = {
        "MEEPO2_SESSION_DSN": "postgresql://app:of-nobody@127.0.0.1:1/shop",
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "MEEPO2_PREFIX": prefix,
        "MEEPO2_SESSION_RECONNECT_SECONDS": "0.3",
    }
    outcome = run("relay", "--once", settings=settings)
    assert outcome.code == 1
    assert "127.0.0.1:1 does not answer" in outcome.complaint
    assert "of-nobody" not in outcome.err + outcome.out


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_database_that_was_away_is_read_again(how: str, tmp_path: Path, kafka: str, prefix: str, publish: Publish):
    """A relay that ends at each restart of the database needs a person at night."""
    (tmp_path / "postgres").mkdir()
    with native.postgres(tmp_path / "postgres") as server, on(make_url(server.url).set(drivername=DRIVER)) as database:
        Model.metadata.create_all(database.engine)
        publish(maker := sessionmaker(database.engine))
        with relayed(database, kafka, prefix) as relay:
            running = relay.start()
            if how == "killed":
                server.kill()
                running.wait_for("The database of the outbox is away")
                server.start()
            else:
                os.kill(server.pid, signal.SIGSTOP)
                os.kill(server.pid, signal.SIGCONT)
            database.engine.dispose()
            with maker() as session:
                session.add(Zero(id=1))
                session.commit()
            until(lambda: plain(relay.records()) == [("write", "zero", 1)], "the row is relayed")
            assert running.stop().code == 0
