"""
Faults planted into the capture, to prove that the audit would find them.

Each is what somebody could write in good faith; the first fourteen were thought of beforehand, the others were in the
product until the simulation found them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from meepo2_cdc.capture import service
from meepo2_cdc.capture.binlog import source, start
from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.connection import DumpPosition
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.capture.checkpointing import first_seq
from meepo2_cdc.capture.committer import Committer
from meepo2_cdc.capture.service import CaptureService
from meepo2_cdc.kafka import checkpoints
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.checkpoint import Checkpoint
from tests.simulation.clients import CHECKPOINTS
from tests.simulation.world import SimWorld

Plant = Callable[[ExitStack], None]
PLANTED: dict[str, tuple[Plant, frozenset[str]]] = {}
"""Each with the faults and transactions that bring it to light, which are favoured."""


def planted(*favoured: str) -> Callable[[Plant], Plant]:
    def add(plant: Plant) -> Plant:
        PLANTED[plant.__name__] = plant, frozenset(favoured)
        return plant

    return add


@contextmanager
def fault(name: str) -> Iterator[frozenset[str]]:
    """The capture is wrong inside of this; gives what to favour."""
    with ExitStack() as stack:
        plant, favoured = PLANTED[name]
        plant(stack)
        yield favoured


def _put(stack: ExitStack, owner: Any, name: str, stand_in: Any) -> None:
    stack.enter_context(patch.object(owner, name, stand_in))


def _change_checkpoints(stack: ExitStack, **fields: Any) -> None:
    right = service.checkpoint_at
    _put(stack, service, "checkpoint_at", lambda *position, **more: replace(right(*position, **more), **fields))


# -- Kafka


@planted("zombie")
def checkpoint_read_before_init(stack: ExitStack) -> None:
    """Between the two lines the predecessor, not yet fenced, goes on."""

    def open_writer(self: Any) -> Checkpoint | None:
        self._last = checkpoints.read_checkpoint(self._kafka, self._checkpoint_topic, self._source)
        self._producer = self._new_producer()
        return self._last

    _put(stack, TransactionalWriter, "open", open_writer)


@planted("intrude", "die")
def checkpoint_read_to_the_committed_end(stack: ExitStack) -> None:
    """The end that read_committed sees is where somebody else's open transaction begins."""
    right = checkpoints._consumer
    _put(stack, checkpoints, "_consumer", lambda kafka, isolation: right(kafka, "read_committed"))


@planted()
def checkpoint_in_a_transaction_of_its_own(stack: ExitStack) -> None:
    """Records first, then the checkpoint: a crash in between repeats them."""

    def write(self: Any, messages: Any, checkpoint: Checkpoint) -> None:
        producer = self._producer
        if messages:
            producer.begin_transaction()
            for topic, batch in messages.items():
                self._produce(producer, topic, batch)
            self._commit(producer)
        producer.begin_transaction()
        producer.produce(CHECKPOINTS, value=checkpoint.encoded(), key=self._source.encode(), partition=0)
        self._commit(producer)

    _put(stack, TransactionalWriter, "write", write)


@planted("trouble")
def producer_kept_after_a_slow_commit(stack: ExitStack) -> None:
    """A commit request that is late ends the next transaction of the same epoch, by half."""
    _put(stack, TransactionalWriter, "_replace_producer", lambda self: None)


@planted("zombie")
def transactional_id_for_each_process(stack: ExitStack) -> None:
    """Nobody fences anybody."""
    _put(stack, SimWorld, "transactional_id", staticmethod(lambda process: f"sim.db.{process.number}"))


@planted("trouble")
def failed_commit_forgotten(stack: ExitStack) -> None:
    """The next batch is committed behind one that was not."""
    right = Committer.settle

    def settle(self: Any) -> None:
        with suppress(Exception):
            right(self)

    _put(stack, Committer, "settle", settle)


# -- what a checkpoint says


@planted()
def rows_done_not_stored(stack: ExitStack) -> None:
    """A restart within a transaction then begins it again."""
    _change_checkpoints(stack, rows_done=0, gtid=None)


@planted("xa")
def undecided_not_stored(stack: ExitStack) -> None:
    """A restart between the prepare of an XA transaction and its commit then never sees its rows."""
    _change_checkpoints(stack, undecided=None)


@planted()
def position_as_if_the_transaction_were_over(stack: ExitStack) -> None:
    """A commit in the middle of a transaction then loses its rest."""
    right = ChangeReader.position

    def position(self: Any) -> Position:
        found: Position = right.fget(self)  # type: ignore[attr-defined, misc]
        if found.gtid is None or found.gtids is None:
            return found
        found.gtids.add(found.gtid)
        return replace(found, gtid=None, rows_done=0)

    _put(stack, ChangeReader, "position", property(position))


@planted()
def seq_begun_anew(stack: ExitStack) -> None:
    """Each process counts from its own beginning."""
    right = CaptureService._make_reader
    _put(stack, CaptureService, "_make_reader", lambda self, begin, seq: right(self, begin, first_seq()))


# -- reading


@planted("savepoint")
def savepoint_ends_the_transaction(stack: ExitStack) -> None:
    """It comes as a statement within a transaction, and looks like one that stands alone."""
    right = ChangeReader._on_statement

    def on_statement(self: Any, event: Any, schema: str, statement: str) -> Any:
        return self.end(event) if statement.startswith("SAVEPOINT") else right(self, event, schema, statement)

    _put(stack, ChangeReader, "_on_statement", on_statement)


@planted("lose_connection")
def reconnect_from_the_first_position(stack: ExitStack) -> None:
    """As python-mysql-replication does."""
    right = BinlogSource.read

    def read(self: Any, position: Position) -> Any:
        self.first = getattr(self, "first", position)
        return right(self, self.first)

    _put(stack, BinlogSource, "read", read)


@planted("xa")
def xa_told_at_the_prepare(stack: ExitStack) -> None:
    """Its rows are in the log there, and may yet be rolled back."""

    right = ChangeReader._on_rows

    def on_rows(self: Any, event: Any) -> Any:
        transaction = self._transaction
        xa, transaction.xa = transaction.xa, None
        given = right(self, event)
        transaction.xa = xa
        return given

    _put(stack, ChangeReader, "_on_rows", on_rows)


@planted("large", "fail_over")
def skipped_by_events(stack: ExitStack) -> None:
    """An event whose first row is published is passed over whole; on a replica events are cut differently."""

    def give(self: Any, rows: Any) -> Any:
        first = rows.first_row
        rows.transaction.rows += rows.row_count
        return () if first < self._skip_rows else (rows,)

    _put(stack, ChangeReader, "give", give)


# -- what the simulation found in the product


@planted("xa")
def undecided_set_shared(stack: ExitStack) -> None:
    """The set that says where an undecided XA transaction begins grew while the log was read again from there."""
    right = ChangeReader.__init__

    def init(self: Any, position: Position, *arguments: Any, **more: Any) -> None:
        right(self, position, *arguments, **more)
        self._place.gtids = position.gtids

    _put(stack, ChangeReader, "__init__", init)


@planted("xa", "large", "lose_connection")
def unwanted_taken_for_the_one_in_progress(stack: ExitStack) -> None:
    """A connection lost while the log was read again made a passed-over transaction the one with published rows."""
    right = ChangeReader.reading

    def reading(self: Any) -> Position:
        found: Position = right.fget(self)  # type: ignore[attr-defined, misc]
        behind = self._transaction is not None and found.rows_done
        return replace(found, gtid=self._transaction.gtid) if behind else found

    _put(stack, ChangeReader, "reading", property(reading))


@planted("lose_connection", "die")
def checkpoint_before_the_start(stack: ExitStack) -> None:
    """A checkpoint in front of the place that `start` names made a restart publish what is before it."""
    _put(stack, CaptureService, "_is_ahead", lambda self: self._reader.position != self._committed)


# -- another server


@planted("files", "lose_connection", "fail_over", "damage", "heal")
def dump_of_a_server_that_was_not_asked(stack: ExitStack) -> None:
    """The address may lead elsewhere between the look at a server and the dump."""
    _put(stack, BinlogSource, "_require", lambda *identities: None)


@planted("fail_over", "die", "earliest")
def empty_set_taken_for_none(stack: ExitStack) -> None:
    """Before the first global id a file seems to say the same; on another server it does not."""
    _put(stack, source, "DumpPosition", lambda file, offset, gtids: DumpPosition(file, offset, gtids or None))


@planted("mariadb", "xa", "damage")
def mariadb_not_compared(stack: ExitStack) -> None:
    """It compares by itself where a dump begins, which is before what is published while an XA is undecided."""
    _put(stack, start, "_verify_mariadb_gtids", lambda *what: None)
