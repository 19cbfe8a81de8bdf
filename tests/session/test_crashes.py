"""
Programs killed at every step: the topic then has what the database has, and nothing else.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from tests.command import Running, run, until
from tests.faults.owned import LONG
from tests.session.application import DIRECT_STEPS, OUTBOX_STEPS
from tests.session.databases import FLAVORS, Database
from tests.session.models import Zero
from tests.session.relaying import committed, plain, relayed, without_gap
from tests.session.test_direct import Directly

KILLS = 40 if LONG else 4
on_several = pytest.mark.parametrize("database", FLAVORS if LONG else ["postgres", "mysql"], indirect=True)


def application(
    url: str, settings: dict[str, Any], *, die: str = "", first: int = 1, rows: int = 1, stay: bool = False
):
    wanted = {"url": url, "settings": settings, "die": die, "first": first, "rows": rows, "stay": stay}
    return Running([json.dumps(wanted)], {}, program=(sys.executable, "-m", "tests.session.application"))


def rows_of(database: Database) -> set[int]:
    with database.engine.connect() as connection:
        return set(connection.execute(select(Zero.id)).scalars())


@on_several
@pytest.mark.parametrize("step", DIRECT_STEPS)
def test_direct_delivery_killed_at_a_step(step: str, database: Database, kafka: str, redis_url: str, prefix: str):
    """S43, S44: in the predecessor all of these left the same marks, and nobody read them."""
    direct = Directly(database, kafka, redis_url, prefix)
    killed = application(database.dsn, direct.settings, die=step)
    assert killed.end().code == -9, killed.said
    there = rows_of(database)
    assert there == ({1} if step in ("committed", "sent", "cleared") else set())
    again = application(database.dsn, direct.settings, rows=0, stay=True)
    until(lambda: direct.doubts.ids() == [], "the next start settles it by itself")
    again.kill()
    told = direct.told()
    assert set(told) == {("write", "zero", key) for key in there}
    assert len(told) <= 2
    assert len({record.seq for record in committed(kafka, prefix)}) == len(there), "a repeat has the seq of the first"


@on_several
@pytest.mark.parametrize("step", OUTBOX_STEPS)
def test_the_outbox_when_the_application_is_killed_at_a_step(step: str, database: Database, kafka: str, prefix: str):
    """The transaction decides, and nothing else."""
    killed = application(database.dsn, {}, die=step)
    assert killed.end().code == -9, killed.said
    there = rows_of(database)
    assert there == ({1} if step == "committed" else set())
    with relayed(database, kafka, prefix) as relay:
        assert relay.once().code == 0
        assert plain(relay.records()) == [("write", "zero", key) for key in there]


def test_direct_delivery_killed_at_random_moments(database: Database, kafka: str, redis_url: str, prefix: str):
    """What is committed is told, what is not is not; a repeat has the seq of the first."""
    direct = Directly(database, kafka, redis_url, prefix)
    chance, first = random.Random(11), 1  # noqa: S311 - of a test
    for _ in range(KILLS):
        running = application(database.dsn, direct.settings, first=first, rows=1_000_000)
        until(lambda running=running: running.printed, "a row is committed")
        threading.Event().wait(chance.random() * 0.4)
        running.kill()
        first = max(rows_of(database), default=0) + 1
    until(lambda: _settled(direct), "everything is settled")
    records = list(committed(kafka, prefix))
    told = Counter(plain(records))
    print(f"{database.url.drivername}: {KILLS} kills, {len(rows_of(database))} rows, {len(records)} records")
    assert set(told) == {("write", "zero", key) for key in rows_of(database)}
    assert len(records) - len(told) <= KILLS
    assert len({record.seq for record in records}) == len(told)


def _settled(direct: Directly) -> bool:
    outcome = run("recover", settings=direct.variables)
    assert outcome.code == 0, outcome.err
    return direct.doubts.ids() == []


RELAY_STEPS = {
    "opened": ("meepo2_cdc.capture.session.relay.RelayWriter", "open", "behind", 1),
    "begun": ("meepo2_cdc.capture.session.relay.RelayWriter", "write", "behind", 1),
    "read": ("meepo2_cdc.capture.session.outbox_rows.OutboxRows", "read", "behind", 1),
    "encoded": ("meepo2_cdc.capture.session.relay.RelayWriter", "write", "before", 2),
    "flushed": ("meepo2_cdc.capture.session.relay.RelayWriter", "_commit", "flushed", 2),
    "committed": ("meepo2_cdc.capture.session.relay.RelayWriter", "write", "behind", 2),
    "removed": ("meepo2_cdc.capture.session.outbox_rows.OutboxRows", "remove", "behind", 1),
}


@on_several
@pytest.mark.parametrize("step", RELAY_STEPS)
def test_the_relay_killed_at_a_step(step: str, database: Database, kafka: str, prefix: str):
    """Exactly once means at each of them."""
    application(database.dsn, {}, rows=20).end()
    with relayed(database, kafka, prefix) as relay:
        code = (
            "import sys; from pydoc import locate; from tests.session.application import die_at;"
            f"kind, *rest = {RELAY_STEPS[step]!r}; die_at(locate(kind), *rest);"
            "from meepo2_cdc.cli.main import main; main()"
        )
        killed = Running(["relay"], relay.settings, program=(sys.executable, "-c", code))
        assert killed.end().code == -9, killed.said
        application(database.dsn, {}, first=21, rows=5).end()
        assert relay.once().code == 0
        records = relay.records()
        assert plain(records) == [("write", "zero", key) for key in range(1, 26)]
        assert without_gap(records)
        assert database.waiting() == 0
