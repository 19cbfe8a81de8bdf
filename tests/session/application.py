"""
A program that publishes and is killed: `python -m tests.session.application '{"url": ..., "die": STEP, ...}'`.

It adds the rows that it is told to, one in a transaction, and says which are committed.  At STEP it kills itself.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.orm import sessionmaker

import meepo2_cdc
from meepo2_cdc.capture.session import direct, doubts, markers, outbox, publisher, sending
from tests.session.models import Zero

Step = tuple[Any, str, str] | None
DIRECT_STEPS: dict[str, Step] = {
    "marked": (markers.Marks, "mark", "behind"),
    "prepared": (doubts.Doubts, "prepare", "behind"),
    "committing": None,
    "committed": (direct.Direct, "committed", "before"),
    "sent": (sending.KafkaEnd, "deliver", "behind"),
    "cleared": (doubts.Doubts, "clear", "behind"),
}
OUTBOX_STEPS: dict[str, Step] = {
    "recorded": (outbox.Outbox, "record", "behind"),
    "committing": None,
    "committed": (publisher.Publisher, "_after_commit", "before"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(kind: Any, name: str, when: str, nth: int = 1) -> None:
    """At the nth call; "flushed" is before it, with the producer's messages in Kafka."""
    right: Callable[..., Any] = getattr(kind, name)
    calls = itertools.count(1)

    def wrong(*arguments: Any, **named: Any) -> Any:
        now = next(calls) == nth
        if now and when == "flushed":
            arguments[1].flush()
        if now and when != "behind":
            die()
        found = right(*arguments, **named)
        if now:
            die()
        return found

    setattr(kind, name, wrong)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    engine = create_engine(wanted["url"])
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    steps = DIRECT_STEPS if wanted["settings"].get("delivery") == "direct" else OUTBOX_STEPS
    step = steps.get(wanted["die"])
    if step is not None:
        die_at(*step)
    elif wanted["die"]:  # all is flushed, and COMMIT not sent
        event.listen(engine, "commit", lambda _: die())
    maker = sessionmaker(engine)
    meepo2_cdc.sqlalchemy_pub(maker, **wanted["settings"])
    for key in range(wanted["first"], wanted["first"] + wanted["rows"]):
        with maker() as session:
            session.add(Zero(id=key))
            session.commit()
        print(key, flush=True)
    while wanted["stay"]:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
