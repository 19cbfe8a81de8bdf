"""
`meepo2-cdc` that dies, stops or fails at a chosen step; the product has no switches for that.

    python -m tests.faults.crashing POINT capture ...

`in_commit` and the like are reached again and again; the process dies at the third time, so that it has done some work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from itertools import count
from typing import Any, Self

from meepo2_cdc.capture import checkpointing
from meepo2_cdc.capture.service import CaptureService
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.cli.main import main
from meepo2_cdc.kafka import writer
from meepo2_cdc.kafka.writer import TransactionalWriter

WORKING = 3
CLOCK_STEP_SECONDS = 3600
FLUSH_SECONDS = 30

Hook = Callable[[Any], None]


def die(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def freeze(opened: TransactionalWriter) -> None:
    """With records in the open transaction, so that the broker knows of it."""
    _flush(opened)
    stop()


def stop(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def around(owner: Any, name: str, *, before: Hook | None = None, behind: Hook | None = None, at: int = 1) -> None:
    """Hooks around the method's call number `at`."""
    right = getattr(owner, name)
    calls = 0

    def replaced(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if before is not None and calls == at:
            before(self)
        result = right(self, *arguments)
        if behind is not None and calls == at:
            behind(self)
        return result

    setattr(owner, name, replaced)


def before_init() -> None:
    around(TransactionalWriter, "open", before=die)


def behind_init() -> None:
    around(TransactionalWriter, "_new_producer", behind=die)


def behind_the_reading_of_the_checkpoint() -> None:
    around(TransactionalWriter, "open", behind=die)


def behind_the_making_of_a_topic() -> None:
    around(CaptureTopics, "open", behind=die)


def before_a_batch() -> None:
    around(TransactionalWriter, "write", before=die, at=WORKING)


def between_produce_and_commit() -> None:
    around(TransactionalWriter, "_commit", before=_flushed_and_dead, at=WORKING)


def in_commit() -> None:
    """By another thread, half a millisecond after the commit was asked for."""
    around(TransactionalWriter, "_commit", before=lambda _: threading.Timer(0.0005, die).start(), at=WORKING)


def behind_commit() -> None:
    around(TransactionalWriter, "_commit", behind=die, at=WORKING)


def at_the_end() -> None:
    around(CaptureService, "_commit_all", before=die)


def frozen_in_a_transaction() -> None:
    """It is told by the broker when it wakes up, and a transaction lasts for one second here."""
    writer.TRANSACTION_TIMEOUT_MS = 1000
    around(TransactionalWriter, "_commit", before=freeze, at=WORKING)


def frozen_in_a_slow_commit() -> None:
    """It is done when it wakes up; behind a commit that took long the producer is replaced."""
    right = TransactionalWriter._commit
    commits = count(1)

    def commit(self: Any, producer: Any) -> bool:
        slow = right(self, producer)
        if next(commits) == WORKING:
            stop()
            return True
        return slow

    TransactionalWriter._commit = commit  # type: ignore[method-assign]


def frozen_before_it_looks_for_records() -> None:
    """Behind the reading of a checkpoint that is not there."""
    around(CaptureTopics, "refuse_existing_records", before=stop)


def clock_that_steps() -> None:
    """An hour forth and an hour back, at each look at it; the monotonic clock is another."""
    right, looks = time.time_ns, count()

    def time_ns() -> int:
        return right() + (-1) ** next(looks) * CLOCK_STEP_SECONDS * 1_000_000_000

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time_ns() / 1e9, tz or UTC)

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
    checkpointing.datetime = Clock  # type: ignore[misc]


def impatient() -> None:
    """A batch has two seconds in the place of ten."""
    writer.TRANSACTION_TIMEOUT_MS, writer._ABORT_SECONDS = 2000, 1


def repeating() -> None:
    """With commits that are repeated after one second in the place of ten."""
    writer._COMMIT_SECONDS = 1


def _flushed_and_dead(opened: TransactionalWriter) -> None:
    _flush(opened)
    die()


def _flush(opened: TransactionalWriter) -> None:
    assert opened._producer is not None
    left = opened._producer.flush(FLUSH_SECONDS)
    if left:
        sys.exit(f"{left} messages did not reach Kafka within {FLUSH_SECONDS} s")


CRASHES: dict[str, Callable[[], None]] = {
    point.__name__: point
    for point in (
        before_init,
        behind_init,
        behind_the_reading_of_the_checkpoint,
        behind_the_making_of_a_topic,
        before_a_batch,
        between_produce_and_commit,
        in_commit,
        behind_commit,
        at_the_end,
    )
}
_OTHERS = (
    frozen_in_a_transaction,
    frozen_in_a_slow_commit,
    frozen_before_it_looks_for_records,
    clock_that_steps,
    impatient,
    repeating,
)
POINTS = CRASHES | {point.__name__: point for point in _OTHERS}


if __name__ == "__main__":
    POINTS[sys.argv.pop(1)]()
    main()
