"""
The snapshots of a capture that reads no tables: they stay in its checkpoint as they are.

What the service asks of snapshots; snapshots.py answers with chunks.
"""

from __future__ import annotations

from meepo2_cdc.capture.binlog.transactions import Position, Rows, Truncate
from meepo2_cdc.records.snapshot import Snapshot, TableName


class KeptSnapshots:
    """
    `watched` is the table that is read now; `ready`, that something may have become due; `changed`, that the
    checkpoint has something new to say.
    """

    def __init__(self) -> None:
        self.state: tuple[Snapshot, ...] = ()
        self.control_offset: int | None = None
        self.watched: TableName | None = None
        self.ready = self.changed = False

    def restore(self, state: tuple[Snapshot, ...], control_offset: int | None) -> None:
        """Goes on with what the checkpoint says, before anything is read."""
        self.state, self.control_offset = state, control_offset

    def begin_with_all(self) -> None:
        """For a first start: the existing rows of all tables.  Raises ConfigError where they cannot be read."""

    @property
    def busy(self) -> bool:
        """Whether there is something to read, or to heed."""
        return False

    def saw(self, rows: Rows) -> None:
        """Rows of any table were given out."""

    def saw_truncate(self, truncate: Truncate) -> None:
        """A table was emptied."""

    def saw_definition(self, schema: str, statement: str) -> None:
        """A statement may have changed a table."""

    def lost(self) -> None:
        """The connection to the source was lost, and may be made anew to another server."""

    def due(self, at: Position) -> Rows | None:
        """The chunk whose place is here, between two transactions; `given_out` must follow."""
        return None

    def given_out(self) -> None:
        """The chunk that was due is among what the next checkpoint is committed with."""

    def go_on(self, at: Position) -> bool:
        """Heeds requests, and asks for chunks.  Whether some are under way."""
        return False

    def close(self) -> None:
        """Ends what is under way."""
