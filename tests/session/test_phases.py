"""
Signals of the phases of a transaction, and receivers that fail.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from meepo2_cdc.capture.session.phases import count_in_statsd
from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import Zero


def heard(publisher: Any) -> list[Any]:
    """What the publisher's signals say, in order."""
    found: list[Any] = []
    for name in ("session_prepare", "session_commit", "session_rollback"):

        def receive(session: Session, event: Any, name: str = name) -> None:
            found.append((name.removeprefix("session_"), event))

        publisher.signal(name).connect(receive, weak=False)
    return found


def test_the_phases_are_told_with_what_the_transaction_changed(sqlite: Database, publish: Publish):
    """S38, S40: cumulative over the flushes, keys as they are."""
    maker = sessionmaker(sqlite.engine)
    found = heard(publish(maker))
    with maker() as session:
        session.add(Zero(id=1))
        session.flush()
        session.add(Zero(id=2))
        session.commit()
        session.add(Zero(id=3))
        session.flush()
        session.rollback()
        session.rollback()
        session.commit()
    assert found == [
        ("prepare", {"zero_write": {1}}),
        ("prepare", {"zero_write": {1, 2}}),
        ("commit", {"zero_write": {1, 2}}),
        ("prepare", {"zero_write": {3}}),
        ("rollback", {"zero_write": {3}}),
    ]


@pytest.mark.parametrize("scoped", [False, True])
def test_each_factory_is_heard_by_its_own_receivers(scoped: bool, sqlite: Database, publish: Publish):
    """S45: the predecessor told sessions apart by `info`, and did not with blinker of today."""
    first: Any = sessionmaker(sqlite.engine, info={"same": 1})
    second: Any = sessionmaker(sqlite.engine, info={"same": 1})
    if scoped:
        first, second = scoped_session(first), scoped_session(second)
    of_first, of_second = heard(publish(first)), heard(publish(second))
    with first() as session:
        session.add(Zero(id=1))
        session.commit()
    assert [phase for phase, _ in of_first] == ["prepare", "commit"]
    assert of_second == []


def test_a_receiver_that_fails_is_no_concern_of_the_transaction(sqlite: Database, publish: Publish):
    """S35: the row was committed, the application saw an error, and the next commit published it again."""
    maker = sessionmaker(sqlite.engine)
    publisher = publish(maker)

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("of a receiver")

    publisher.signal("session_prepare").connect(fail)
    publisher.signal("session_commit").connect(fail)
    found = heard(publisher)
    with maker() as session:
        for key in (1, 2):
            session.add(Zero(id=key))
            session.commit()
    assert [phase for phase, _ in found] == ["prepare", "commit"] * 2
    assert sqlite.told() == [("write", "zero", 1), ("write", "zero", 2)]


def test_statsd_counts_the_phases(sqlite: Database, publish: Publish):
    """The counters that dashboards of the predecessor have."""
    counted: list[str] = []

    class Client:
        def incr(self, name: str) -> None:
            counted.append(name)

    maker = sessionmaker(sqlite.engine)
    count_in_statsd(publish(maker), Client())
    with maker() as session:
        session.add(Zero(id=1))
        session.commit()
    assert counted == ["meepo2.stats.session_prepare", "meepo2.stats.session_commit"]


def test_an_unknown_signal_is_refused(sqlite: Database, publish: Publish):
    """A receiver of a name that is never sent waits for ever."""
    with pytest.raises(ValueError, match="there are session_prepare"):
        publish(sessionmaker(sqlite.engine)).signal("session_comit")
