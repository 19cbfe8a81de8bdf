"""
Direct delivery: prepared in Redis at the flush, published behind the commit, then cleared.

1. in the first flush, the transaction's marker row (see markers.py);
2. in each flush, all its changes so far, in Redis;
3. the commit;
4. its records, to Kafka, by a thread of this process; the commit waits for it within its timeout;
5. Redis is cleared.

What dies between 2 and 5 is settled by a recovery.  Where Redis does not answer, a strict transaction fails, and
another keeps its changes in its marker.  Nothing here holds up a commit longer than `timeout_seconds`: the time that
calls took is counted for each transaction, and what did not answer is not asked again for a while.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import redis
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.doubts import Doubts
from meepo2_cdc.capture.session.markers import Marks
from meepo2_cdc.capture.session.pending import Pending
from meepo2_cdc.capture.session.sending import Sender, Sent
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.observe import metrics

log = structlog.get_logger()
T = TypeVar("T")
_REST_SECONDS = 5.0


class Direct:
    """Prepare, publish, clear.  Nothing is connected before the first change."""

    def __init__(self, settings: Settings, engine: Engine | None) -> None:
        session = settings.session
        if session.redis_url is None:
            raise ConfigError("session.delivery is 'direct', and session.redis_url is not set")
        self._settings = settings
        self._engine = engine
        self._strict = session.strict
        self._timeout = session.timeout_seconds
        self._marks = Marks(session.marker_table)
        # to connect and to answer: half of it at most, the rest is for Kafka
        self.doubts = Doubts(session.redis_url.get_secret_value(), session.namespace, self._timeout / 4)
        self._spent: dict[str, _Transaction] = {}
        self._rest_until = 0.0
        self._sender: Sender | None = None
        self._lock = threading.Lock()

    @property
    def destination(self) -> Hashable:
        return "direct", self._settings.prefix, self._settings.session.name

    def record(self, _: Session, pending: Pending, connection: Connection, changes: Sequence[Change]) -> None:
        transaction = self._spent.setdefault(pending.id, _Transaction())
        if not transaction.marked:
            self._marks.mark(connection, pending.id)
            transaction.marked = True
        if transaction.connection is not None and transaction.connection is not connection:
            raise ConfigError(
                "direct delivery publishes the changes of one database, and this session has several",
                fix="Use session.delivery = 'outbox', which has an outbox in each.",
            )
        transaction.connection, transaction.stale = connection, False
        self._prepare(pending, transaction, connection)

    def _prepare(self, pending: Pending, transaction: _Transaction, connection: Connection) -> None:
        first = self._ask(transaction, lambda: self.doubts.prepare(pending.id, pending))
        if first is not None:
            transaction.first_seq = first
            return
        transaction.first_seq = transaction.first_seq or time.time_ns() // 1000
        transaction.kept = True
        self._marks.keep(connection, pending.id, transaction.first_seq, pending)

    def narrowed(self, pending: Pending) -> None:
        transaction = self._spent.get(pending.id)
        if transaction is None:
            return
        if not pending:  # the marker went with the savepoint
            self._spent.pop(pending.id)
            self._ask(transaction, lambda: self.doubts.clear(pending.id), strict=False)
            return
        first = self._ask(transaction, lambda: self.doubts.prepare(pending.id, pending), strict=False)
        transaction.stale = first is None
        transaction.first_seq = first or transaction.first_seq

    def committing(self, pending: Pending) -> None:
        """Redis may still tell of a savepoint that was rolled back."""
        transaction = self._spent.get(pending.id)
        if transaction is not None and transaction.stale and transaction.connection is not None:
            transaction.stale = False
            self._prepare(pending, transaction, transaction.connection)

    def committed(self, pending: Pending) -> None:
        transaction = self._spent.pop(pending.id, None)
        if transaction is None:
            return
        changes = list(pending)
        sent = self._sending().send(
            Sent(pending.id, transaction.first_seq, time.time_ns() // 1000, changes, kept=transaction.kept)
        )
        if sent is None or not sent.wait(max(0.0, self._timeout - transaction.spent)):
            metrics.SESSION_TRANSACTIONS_LATE.inc()
            log.warning(
                "A committed transaction was not published in time; it will be", transaction=pending.id,
                timeout_seconds=self._timeout,
            )  # fmt: skip

    def ended(self, pending: Pending) -> None:
        """A transaction whose commit was begun may be committed all the same: the recovery asks."""
        transaction = self._spent.pop(pending.id, None)
        if transaction is None:
            return
        if pending.committing:
            log.warning("The outcome of a commit is unknown; the recovery settles it", transaction=pending.id)
            self._sending().look_soon()
        else:
            self._ask(transaction, lambda: self.doubts.clear(pending.id), strict=False)

    def close(self) -> None:
        atexit.unregister(self.close)
        with self._lock:
            if self._sender is not None:
                self._sender.close(self._timeout)
                self._sender = None

    def _ask(self, transaction: _Transaction, call: Callable[[], T], *, strict: bool = True) -> T | None:
        """What Redis answers; None when it does not, or did not a moment ago.  A strict transaction hears of it."""
        began = time.monotonic()
        strict = strict and self._strict
        if not strict and (began < self._rest_until or transaction.spent > self._timeout / 2):
            return None
        try:
            return call()
        except redis.RedisError as error:
            if strict:
                raise NotPrepared(error) from error
            self._rest_until = time.monotonic() + _REST_SECONDS
            log.warning("Redis did not record a transaction; its marker does", why=str(error))
            return None
        finally:
            transaction.spent += time.monotonic() - began

    def start(self) -> None:
        """Settles what a crash left in doubt, in the background."""
        self._sending()

    def _sending(self) -> Sender:
        """A thread does not come along when the process forks."""
        with self._lock:
            if self._sender is None or self._sender.pid != os.getpid():
                self._sender = Sender(self._settings, self.doubts, self._engine)
                self._sender.start()
                atexit.register(self.close)
            return self._sender


class NotPrepared(Error):
    """Redis does not answer, so a strict transaction cannot be prepared."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"a strict transaction cannot be recorded in Redis, and must not commit: {error}",
            fix="Roll back, and try again when Redis answers; session.strict = false commits all the same.",
        )


class _Transaction:
    """How far one transaction is."""

    def __init__(self) -> None:
        self.marked = False
        self.kept = False
        self.stale = False
        self.first_seq = 0
        self.spent = 0.0
        self.connection: Connection | None = None
