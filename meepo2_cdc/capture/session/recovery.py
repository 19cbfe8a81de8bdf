"""
Settling what is in doubt: transactions that were flushed, and of which nobody said what became of them.

The database says it (markers.py).  Committed: published, perhaps once more, under the seq that it had; then cleared.
Gone: cleared.  Still open: left for the next time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import redis
import structlog

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.doubts import Doubts
from meepo2_cdc.capture.session.markers import Markers, Outcome
from meepo2_cdc.capture.session.outbox import changes_in
from meepo2_cdc.config import Settings
from meepo2_cdc.observe import metrics

if TYPE_CHECKING:
    from meepo2_cdc.capture.session.sending import Sent

log = structlog.get_logger()
_PRUNE_SECONDS = 60.0


class Recovery:
    """`deliver` returns when Kafka has a transaction."""

    def __init__(self, settings: Settings, doubts: Doubts, markers: Markers, deliver: Callable[[Sent], None]) -> None:
        self._age = timedelta(seconds=settings.session.settle_seconds)
        self._keep = timedelta(seconds=settings.session.keep_markers_seconds)
        self._doubts = doubts
        self._markers = markers
        self._deliver = deliver
        self._pruned_at = -_PRUNE_SECONDS

    def settle(self, but: Collection[str] = ()) -> Counter[str]:
        """
        One round over all that is old enough, except `but`; how many there were of each outcome.

        Raises what database and Kafka raise; whoever goes on from there begins anew.  Without Redis, the markers that
        hold changes are settled all the same.
        """
        before = datetime.now(UTC) - self._age
        found: Counter[str] = Counter()
        failure: redis.RedisError | None = None
        try:
            ids = self._doubts.ids()
            for one in self._doubts.ids(before):
                if one not in but:
                    found[self._settle(one).value] += 1
        except redis.RedisError as error:
            failure, ids = error, []
        self._settle_kept(found, before, but)
        if failure is not None:
            raise failure
        if time.monotonic() - self._pruned_at > _PRUNE_SECONDS:
            self._markers.prune(_us(datetime.now(UTC) - self._keep), ids)
            self._pruned_at = time.monotonic()
        if found:
            log.info("Transactions in doubt were settled", **found)
        return found

    def _settle(self, transaction: str) -> Outcome:
        outcome = self._markers.outcome(transaction)
        if outcome is Outcome.OPEN:
            return outcome
        doubt = self._doubts.get(transaction)
        if outcome is Outcome.COMMITTED and doubt is not None:
            kept = self._markers.changes_of(transaction)
            changes = list(doubt.changes) if kept is None else changes_in(kept)
            self._publish(transaction, doubt.first_seq, _us(doubt.prepared_at), changes)
        self._doubts.clear(transaction)
        self._markers.remove(transaction)
        metrics.SESSION_TRANSACTIONS_SETTLED.labels(outcome.value).inc()
        return outcome

    def _settle_kept(self, found: Counter[str], before: datetime, but: Collection[str]) -> None:
        """A marker that can be seen was committed."""
        for one in self._markers.kept(_us(before)):
            if one.transaction_id not in but:
                self._publish(one.transaction_id, one.first_seq, one.marked_at, changes_in(one.changes))
                self._markers.remove(one.transaction_id)
                found[Outcome.COMMITTED.value] += 1
                metrics.SESSION_TRANSACTIONS_SETTLED.labels(Outcome.COMMITTED.value).inc()

    def _publish(self, transaction: str, first_seq: int, committed_us: int, changes: list[Change]) -> None:
        from meepo2_cdc.capture.session.sending import Sent

        self._deliver(Sent(transaction, first_seq, committed_us, changes))


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def settled_for_ever(recovery: Recovery, every_seconds: float, stopping: Callable[[float], bool]) -> None:
    """Rounds until `stopping`, which waits, is true."""
    while True:
        began = time.monotonic()
        recovery.settle()
        if stopping(max(0.0, every_seconds - (time.monotonic() - began))):
            return
