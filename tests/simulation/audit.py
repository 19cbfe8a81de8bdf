"""
What must hold, looked at after every step.

The truth is what the workload did and in which order.  It is compared with what is committed in Kafka the moment that a
transaction is decided, so that a violation is found where it happens and not at the end.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING

from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.records.checkpoint import Checkpoint, decode_checkpoint
from tests.simulation import history as h
from tests.simulation import mysql
from tests.simulation.clients import CHECKPOINTS
from tests.simulation.history import Record
from tests.simulation.kafka import Entry, Transaction
from tests.simulation.workload import LARGE, PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.capture import Process
    from tests.simulation.world import SimWorld

_EVENT_ROWS = 8
_decoder = ActionDecoder()


class Violation(BaseException):
    """Something that must hold does not.  Not an Exception, so that nothing under test can catch it."""


class Audit:
    """
    `row` is the number of the history's rows that are published, `base` the transaction with which the capture began:
    None until its first checkpoint says so.
    """

    def __init__(self, world: SimWorld, base: int | None) -> None:
        self._world = world
        self._history = world.history
        self.base = base
        self.row = 0 if base is None else self._history.rows_before[base]
        self.checkpoint: Checkpoint | None = None
        self._seq: int | None = None

    # -- after every step

    def memory(self, process: Process) -> None:
        """I6.  An update of a key is two records, and a delete may have a tombstone."""
        most = self._world.settings.capture.commit_rows + 3 * max(_EVENT_ROWS, PARTITIONS)
        if process.buffered_rows > most:
            raise Violation(f"I6: {process.buffered_rows} rows are buffered, where {most} are the most")

    # -- after every Kafka transaction

    def committed(self, transaction: Transaction) -> None:
        if transaction.owner is None:
            return  # somebody else's, in our checkpoint topic
        if transaction.owner is not self._world.ruler:
            raise Violation("I4: a process committed after another one had taken over")
        *records, last = transaction.records
        if last.topic != CHECKPOINTS or any(entry.topic == CHECKPOINTS for entry in records):
            raise Violation("I3: a transaction does not end with its one checkpoint")
        checkpoint = decode_checkpoint(last.value or b"")
        actions = sorted((_decoder.action(entry.value) for entry in records if entry.value), key=lambda one: one.seq)
        if self.base is None:
            self.base, self.row = self.place(checkpoint)
        self._check_seq(actions, checkpoint)
        self._follow(actions)
        self._check_place(checkpoint)
        self.checkpoint = checkpoint

    def _check_seq(self, actions: list[TableAction], checkpoint: Checkpoint) -> None:
        """I2."""
        first = checkpoint.seq - len(actions)
        if self._seq is not None and first != self._seq:
            raise Violation(f"I2: seq goes on from {self._seq} with {first + 1}, in {len(actions)} records")
        if [one.seq for one in actions] != list(range(first + 1, checkpoint.seq + 1)):
            raise Violation(f"I2: seq is {[one.seq for one in actions]} up to {checkpoint.seq}")
        self._seq = checkpoint.seq

    def _follow(self, actions: list[TableAction]) -> None:
        """I1, over all keys at once: the records are the next rows of the history."""
        at = 0
        while at < len(actions):
            action = actions[at]
            self._check_xa(action)
            if self.row >= len(self._history.told):
                raise Violation(f"I1: {_record(action)} is published, and did not happen (any more)")
            told = self._history.told[self.row]
            found = tuple(_record(one) for one in actions[at : at + len(told)])
            if found != told:
                raise Violation(f"I1: {found} is published where {told} is next")
            self._check_source(action)
            at += len(told)
            self.row += 1

    def _check_xa(self, action: TableAction) -> None:
        """I5, where global ids tell the prepare from the commit; without them it shows as a violation of I1."""
        txn = self._history.by_gtid.get(action.source.gtid or "")
        if txn is not None and txn.kind == h.PREPARE:
            raise Violation(f"I5: {_record(action)} is published of an XA transaction at its prepare")

    def _check_source(self, action: TableAction) -> None:
        """What a record says of the transaction that it comes from."""
        number = self._history.number_of(self.row)
        txn = self._history.txns[number]
        committed_us = txn.committed_us if self._world.flavor == "mysql" else txn.committed_us // 1_000_000 * 1_000_000
        said = action.source.gtid, action.source.row, round(action.committed_at.timestamp() * 1_000_000)
        true = txn.gtid if self._world.has_gtids else None, self.row - self._history.rows_before[number], committed_us
        if said != true:
            raise Violation(f"I3: {_record(action)} says that it is of {said}, and is of {true}")

    def _check_place(self, checkpoint: Checkpoint) -> None:
        """I3: resuming from the checkpoint gives exactly what is missing."""
        count, row = self.place(checkpoint)
        assert self.base is not None
        if row != self.row and not (count <= self.base and self.row == self._history.rows_before[self.base]):
            raise Violation(f"I3: the checkpoint says that {row} rows are published, and {self.row} are")
        undecided = self._history.undecided(count, self.base)
        said = self.undecided_of(checkpoint)
        if undecided is not None and (said is None or said > undecided):
            raise Violation(f"I3: the XA transaction number {undecided} is undecided, the checkpoint says {said}")
        if said is not None and said >= self.base and undecided is None:
            raise Violation(f"I3: the checkpoint says {said} is undecided, and it is decided")

    def undecided_of(self, checkpoint: Checkpoint) -> int | None:
        one = checkpoint.undecided
        return None if one is None else self._count(one.gtid_set, checkpoint.server, one.file, one.position)

    def place(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """Transactions and rows of the history that are done according to a checkpoint."""
        count = self._count(checkpoint.gtid_set, checkpoint.server, checkpoint.file, checkpoint.position)
        row = self._history.rows_before[count] + checkpoint.rows_done
        if checkpoint.rows_done:
            if count == len(self._history.txns) or row > self._history.rows_before[count + 1]:
                raise Violation(f"I3: {checkpoint.rows_done} rows are done of a transaction that has fewer")
            if checkpoint.gtid not in (None, self._history.txns[count].gtid):
                raise Violation(
                    f"I3: {checkpoint.gtid} is said to be in progress, not {self._history.txns[count].gtid}"
                )
        return count, row

    def _count(self, gtid_set: str | None, server: str | None, file: str, offset: int) -> int:
        """How many transactions of the history are before a place."""
        if gtid_set is None:
            written_by = self._world.lineage.get(server or "")
            count = written_by and written_by.txns_before(file, offset)
        elif self._world.flavor == "mariadb":
            count = self._history.count_to(gtid_set)
        else:
            count = self._count_of_set(gtid_set)
        if count is None:
            raise Violation(
                f"I3: a checkpoint at {gtid_set}, {file}:{offset} of {server}, which is no place of the log"
            )
        return count

    def _count_of_set(self, gtid_set: str) -> int | None:
        """None unless the set is the first transactions of the history, and no others."""
        members = mysql.parse(gtid_set)
        count = sum(last - first + 1 for intervals in members.values() for first, last in intervals)
        return count if mysql.as_sets(self._history.txns[:count]) == members else None

    # -- at the end

    def caught_up(self) -> bool:
        return self.base is not None and self.row == len(self._history.told)

    def at_end(self) -> None:
        """I1 for each key as a consumer sees it, and I7."""
        published: list[TableAction] = []
        for (topic, _), partition in self._world.broker.partitions.items():
            if topic != CHECKPOINTS:
                entries = [entry for _, entry in partition.committed()]
                published += self._of_partition(entries)
        published.sort(key=lambda one: one.seq)
        assert self.base is not None
        told = [record for row in self._history.told[self._history.rows_before[self.base] :] for record in row]
        if _by_key(told) != _by_key([_record(one) for one in published]):
            raise Violation("I1: a key has another history in its topic than at its source")
        self._check_fold(published)

    def _of_partition(self, entries: list[Entry]) -> list[TableAction]:
        actions = [_decoder.action(entry.value) for entry in entries if entry.value is not None]
        if any(before.seq >= after.seq for before, after in pairwise(actions)):
            raise Violation("I2: seq does not rise within a partition")
        if "compact" in self._world.settings.topics.cleanup_policy:
            for entry, following in zip_longest(entries, entries[1:]):
                deleted = entry.value is not None and _decoder.action(entry.value).action.value == "delete"
                if deleted and (following is None or following.value is not None or following.key != entry.key):
                    raise Violation("I7: a delete is not followed by its tombstone")
        return actions

    def _check_fold(self, published: list[TableAction]) -> None:
        """I7: the tables as they were when the capture began, and what was published since, give the tables of now."""
        assert self.base is not None
        rows = {name: set(keys) for name, keys in self._world.snapshots[self.base].rows.items()}
        for action in published:
            keys = rows[action.qualified_table]
            if action.action.value == "truncate":
                keys.clear()
            elif action.action.value == "delete":
                keys.discard(action.pk)
            else:
                keys.add(action.pk)
        for name in ("shop.item", "shop.word"):
            if rows[name] != self._world.workload.rows[name]:
                raise Violation(f"I7: {name} folded is not what SELECT gives")


def _record(action: TableAction) -> Record:
    return action.action.value, action.qualified_table, action.pk


def _by_key(records: list[Record]) -> dict[tuple[object, ...], list[str]]:
    found: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for action, table, pk in records:
        found[table, pk].append(action)
    return found


assert max(LARGE) < 1000, "bulk keys would meet"
