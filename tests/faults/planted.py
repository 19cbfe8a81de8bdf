"""
`meepo2-cdc` with a fault planted into it, to prove that the comparison would find it.

    python -m tests.faults.planted FAULT capture ...
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from confluent_kafka import TopicPartition

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.cli.main import main
from meepo2_cdc.errors import Fenced
from meepo2_cdc.kafka import checkpoints, writer
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.checkpoint import Checkpoint

OVERLAP_SECONDS = 30
DIES_AT = 3


def checkpoint_before_init() -> None:
    """The two lines swapped: between them the predecessor, not yet fenced, goes on."""

    def open_writer(self: Any) -> Checkpoint | None:
        self._last = read = _read(self)
        _wait_for_another(self, read)
        self._producer = self._new_producer()
        return read

    TransactionalWriter.open = open_writer  # type: ignore[method-assign]


def init_before_checkpoint() -> None:
    """No fault: the right order, with the same wait before it, as a control of the one above."""
    right = TransactionalWriter.open

    def open_writer(self: Any) -> Checkpoint | None:
        _wait_for_another(self, _read(self))
        return right(self)

    TransactionalWriter.open = open_writer  # type: ignore[method-assign]


def rows_done_not_stored() -> None:
    """A restart within a transaction then begins it again."""
    right = TransactionalWriter.write

    def write(self: Any, messages: Any, checkpoint: Checkpoint) -> None:
        right(self, messages, replace(checkpoint, rows_done=0, gtid=None))

    TransactionalWriter.write = write  # type: ignore[method-assign]


def savepoint_ends_the_transaction() -> None:
    """It comes as a statement within a transaction, and looks like one that stands alone."""
    right = ChangeReader._on_statement

    def on_statement(self: Any, event: Any, schema: str, statement: str) -> Any:
        if statement.upper().startswith("SAVEPOINT"):
            return self.end(event)
        return right(self, event, schema, statement)

    ChangeReader._on_statement = on_statement  # type: ignore[method-assign]


def reconnects_from_where_it_was_constructed() -> None:
    """What python-mysql-replication does by itself when a connection is lost."""
    right = BinlogSource.read
    constructed: list[Position] = []

    def read(self: Any, position: Position) -> Any:
        constructed.append(position)
        return right(self, constructed[0])

    BinlogSource.read = read  # type: ignore[method-assign,assignment]


def rows_forgotten_at_a_reconnect() -> None:
    """The transaction in progress is sent again, and so are its rows that are published."""
    right = ChangeReader._restart

    def restart(self: Any) -> None:
        right(self)
        self._skip_gtid, self._skip_rows = None, 0

    ChangeReader._restart = restart  # type: ignore[method-assign]


def inside_saved_as_the_end() -> None:
    """A position inside a transaction is saved as if the transaction were done."""

    def position(self: Any) -> Position:
        reading = self.reading
        if reading.gtids is not None and reading.gtid is not None:
            reading.gtids.add(reading.gtid)
        return replace(reading, gtid=None, rows_done=0)

    ChangeReader.position = property(position)  # type: ignore[method-assign,assignment]


def checkpoint_in_another_transaction() -> None:
    """The records are committed, then the checkpoint; here the process dies between the two."""
    right = TransactionalWriter.write
    writes = 0

    def write(self: Any, messages: Any, checkpoint: Checkpoint) -> None:
        nonlocal writes
        writes += bool(messages)
        right(self, messages, self._last or checkpoint)
        if writes == DIES_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        right(self, {}, checkpoint)

    TransactionalWriter.write = write  # type: ignore[method-assign]


def goes_on_after_fencing() -> None:
    """A fenced writer opens itself anew and writes its batch, as any other failed request is repeated."""
    right = TransactionalWriter.write

    def write(self: Any, messages: Any, checkpoint: Checkpoint) -> None:
        try:
            right(self, messages, checkpoint)
        except Fenced:
            self._producer = self._new_producer()
            right(self, messages, checkpoint)

    TransactionalWriter.write = write  # type: ignore[method-assign]


def reads_to_the_end_of_the_partition() -> None:
    """The end for a reader of committed records is where anybody's open transaction begins."""
    right = checkpoints._last

    def last(consumer: Any, topic: str, source: str, start: int, high: int) -> bytes | None:
        stable = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1]
        return right(consumer, topic, source, start, min(high, stable))

    checkpoints._last = last


def _read(opened: Any) -> Checkpoint | None:
    return writer.read_checkpoint(opened._kafka, opened._checkpoint_topic, opened._source)


def _wait_for_another(opened: Any, read: Checkpoint | None) -> None:
    """Until somebody else has published more records."""
    deadline = time.monotonic() + OVERLAP_SECONDS
    while (found := _read(opened)) is None or read is None or found.seq == read.seq:
        if time.monotonic() > deadline:
            sys.exit("nobody else committed meanwhile")


FAULTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        checkpoint_before_init,
        init_before_checkpoint,
        rows_done_not_stored,
        savepoint_ends_the_transaction,
        reconnects_from_where_it_was_constructed,
        rows_forgotten_at_a_reconnect,
        inside_saved_as_the_end,
        checkpoint_in_another_transaction,
        goes_on_after_fencing,
        reads_to_the_end_of_the_partition,
    )
}


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
