"""
`meepo2-cdc` with a fault planted into it, to prove that the comparison would find it.

    python -m tests.faults.planted FAULT capture ...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.cli.main import main
from meepo2_cdc.kafka import writer
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.checkpoint import Checkpoint

OVERLAP_SECONDS = 30


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
            return self._on_end(event)
        return right(self, event, schema, statement)

    ChangeReader._on_statement = on_statement  # type: ignore[method-assign]


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
    )
}


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
