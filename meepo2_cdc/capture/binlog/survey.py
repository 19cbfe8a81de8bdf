"""
What log files hold as a whole: looked through once before anything of them is published.

Finds where the last whole transaction ends, which transactions there are, and files that are spoilt or do not follow
each other.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.executed import gtid_of
from meepo2_cdc.capture.binlog.log_files import FIRST_EVENT, Broken, Head, LogFile
from meepo2_cdc.capture.binlog.offline_catalog import OfflineCatalog
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, Event
from meepo2_cdc.capture.binlog.transactions import Position, Since
from meepo2_cdc.errors import ConfigError, UnreadableData
from meepo2_cdc.records.position import GtidSet, LogPosition, MariadbGtidSet, MysqlGtidSet
from meepo2_cdc.table_filter import TableFilter

_NEVER = Since(committed_us=1 << 62)
_rotation = struct.Struct("<Q").pack


@dataclass(slots=True)
class Looked:
    """
    A file, and what it says was executed before it: `earlier` as a set, `earlier_by_server` on MariaDB as the last
    transaction of each domain and server.
    """

    file: LogFile
    head: Head
    earlier: GtidSet | None = None
    earlier_by_server: frozenset[str] = frozenset()


@dataclass(slots=True)
class Survey:
    """
    `end` is behind the last whole transaction, and `gtids` are all that were executed by then, None where transactions
    have none; `last` is the last transaction of each domain and server, on MariaDB.  `broken` is what is wrong behind
    the end.
    """

    files: list[Looked]
    end: LogPosition = field(default_factory=lambda: LogPosition("", 0))
    gtids: GtidSet | None = None
    last: dict[str, str] = field(default_factory=dict)
    broken: UnreadableData | None = None

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.files[0].head.version


def survey(files: list[LogFile]) -> Survey:
    """Raises ConfigError for files that are no log, and UnreadableData for a file that is spoilt before the last."""
    found = Survey([Looked(file, file.head()) for file in files])
    looking = _Looking(found)
    reader = ChangeReader(
        Position(files[0].name, FIRST_EVENT, None),
        TableFilter(["*.*"]),
        OfflineCatalog(None, is_mariadb=found.is_mariadb),
        since=_NEVER,
        learn_gtids=True,
        skip_unreadable=True,
    )
    for _ in reader.changes(looking):
        pass
    reached = reader.reading
    found.end, found.gtids = LogPosition(reached.file, reached.offset), reached.gtids or looking.untouched()
    if found.broken is None and found.end.order < looking.end.order:
        found.broken = UnreadableData(
            f"{files[-1].path} ends within the transaction that begins at byte {reached.offset}",
            fix="All transactions before it are published.  Get the file anew when the server has ended it (FLUSH"
            " BINARY LOGS), and run this again.",
        )
    return found


def rotation(looked: Looked) -> Event:
    """That a file begins, as a server says it in front of each file that it sends."""
    body = _rotation(FIRST_EVENT) + looked.file.name.encode()
    return Event(ev.ROTATE, 0, looked.head.server_id, 0, 0, ARTIFICIAL, body, 0, len(body))


class _Looking:
    """The EventStream of all files, which notes in the survey what goes by."""

    def __init__(self, found: Survey) -> None:
        self._found = found
        self._anonymous = False
        self.heard_at = time.monotonic()
        self.tick_ms = 0
        self.end = LogPosition(found.files[0].file.name, FIRST_EVENT)

    def events(self) -> Iterator[Event]:
        next_file = ""
        for looked in self._found.files:
            if next_file not in ("", looked.file.name):
                raise ConfigError(
                    f"the log goes on with {next_file}, and the file given is {looked.file.path}",
                    fix="Give the files the names that the server gave them; records and checkpoint tell these.",
                )
            yield rotation(looked)
            next_file = ""
            for event in self._events_of(looked):
                if event.kind == ev.ROTATE:
                    next_file = ev.read_rotate(event.buf[event.start : event.end])[0]
                self._note(looked, event)
                yield event

    def _events_of(self, looked: Looked) -> Iterator[Event]:
        offset = FIRST_EVENT
        try:
            for event in looked.file.events():
                offset += event.size
                self.end = LogPosition(looked.file.name, offset)
                yield event
        except Broken as broken:
            if looked is not self._found.files[-1]:
                raise
            self._found.broken = broken

    def _note(self, looked: Looked, event: Event) -> None:
        body = event.buf[event.start : event.end]
        if event.kind == ev.PREVIOUS_GTIDS:
            earlier = looked.earlier = MysqlGtidSet()
            for name, first, last in ev.read_previous_gtids(body):
                earlier.add_interval(name, first, last)
        elif event.kind == ev.MARIADB_GTID_LIST:
            gtids = [f"{domain}-{server}-{number}" for domain, server, number in ev.read_mariadb_gtid_list(body)]
            looked.earlier, looked.earlier_by_server = MariadbGtidSet(",".join(gtids)), frozenset(gtids)
            self._found.last.update((gtid.rpartition("-")[0], gtid) for gtid in gtids)
        elif event.kind == ev.MARIADB_GTID:
            gtid = gtid_of(event)
            self._found.last[gtid.rpartition("-")[0]] = gtid
        elif event.kind in (ev.GTID, ev.TAGGED_GTID, ev.ANONYMOUS_GTID):
            self._anonymous = event.kind == ev.ANONYMOUS_GTID

    def untouched(self) -> GtidSet | None:
        """Without any transaction: what was executed before the files."""
        earlier = self._found.files[-1].earlier
        return None if self._anonymous or not str(earlier or "") else earlier
