"""
Where reading is in the log: file, offset, and the global ids of what is done.

Knows how the log tells of these: at the beginning of files, by heartbeats, and not at all for transactions without ids.
"""

from __future__ import annotations

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, Event
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.records.position import GtidSet, LogPosition, MariadbGtidSet, MysqlGtidSet


class LogPlace:
    """
    `gtids` is None while they are not known, or do not tell where in the log this is.

    With `learns`, they are taken from the beginnings of files.
    """

    def __init__(self, position: Position, *, learns: bool) -> None:
        self.file, self.offset = position.file, position.offset
        # a set of its own: where to begin may hold the same one, as the place of an undecided XA transaction
        self.gtids = None if position.gtids is None else position.gtids.copy()
        self.told: GtidSet | None = None
        self._learns = learns
        self._server_id: int | None = None

    def copy_of_gtids(self) -> GtidSet | None:
        return None if self.gtids is None else self.gtids.copy()

    def executed(self) -> GtidSet | None:
        """What is done here, where that is known: from a file's beginning, before its first transaction, too."""
        found = self.told if self.gtids is None else self.gtids
        return None if found is None else found.copy()

    def has_reached(self, end: LogPosition) -> bool:
        if not self.file:
            return False
        if self.file == end.file:
            return self.offset >= end.offset
        return LogPosition(self.file, self.offset).order >= end.order

    def begin_of(self, event: Event) -> int:
        return self.unwrapped(event.end_position) - event.size

    def unwrapped(self, end_position: int) -> int:
        """Positions travel in 32 bits; files may be larger."""
        found = self.offset & ~0xFFFFFFFF | end_position
        return found if found >= self.offset or not self.offset >> 31 else found + (1 << 32)

    def pass_over(self, event: Event) -> None:
        """An event between transactions.  Those that a file begins with come again wherever in it a dump begins."""
        if event.end_position and not event.flags & ARTIFICIAL:
            self.offset = max(self.offset, self.unwrapped(event.end_position))

    def rotate(self, event: Event) -> None:
        """To a file; the same name again is that of another file when it comes from another server."""
        file, offset = ev.read_rotate(event.buf[event.start : event.end])
        another = self._server_id is not None and event.server_id != self._server_id
        if another or file != self.file:
            self.file, self.offset = file, offset
        self._server_id = event.server_id

    def heartbeat(self, event: Event) -> None:
        """Sent in the place of events: all before it was sent, or was in the set that we already had."""
        file = event.buf[event.start : event.end].decode()
        offset = self.unwrapped(event.end_position)
        if LogPosition(file, offset).order > LogPosition(self.file, self.offset).order:
            self.file, self.offset = file, offset

    # -- global ids

    def learn(self, event: Event) -> None:
        """
        What a file's beginning says of all before it.

        On MySQL transactions without ids may follow: there it counts from the first that has one.
        """
        if not self._learns or self.gtids is not None:
            return
        body = event.buf[event.start : event.end]
        if event.kind == ev.PREVIOUS_GTIDS:
            self.told = found = MysqlGtidSet()
            for name, first, last in ev.read_previous_gtids(body):
                found.add_interval(name, first, last)
        else:
            self.gtids = MariadbGtidSet()
            for domain, server, number in ev.read_mariadb_gtid_list(body):
                self.gtids.add(f"{domain}-{server}-{number}")

    def adopt_told(self) -> None:
        self.gtids, self.told = self.told, None

    def at_anonymous(self) -> None:
        """Among transactions without ids no set of ids says where one is; the file does, until the next one tells."""
        self.gtids = self.told = None
