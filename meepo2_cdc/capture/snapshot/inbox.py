"""
The requests that came to a capture, and which tables they may mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol

import structlog

from meepo2_cdc.capture.snapshot import progress
from meepo2_cdc.capture.snapshot.requests import Request, Start, decoded
from meepo2_cdc.errors import SourceUnavailable, UnreadableData
from meepo2_cdc.records.snapshot import Snapshot, TableName
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

NO_GTIDS = (
    "the server has gtid_mode OFF, and its file positions run ahead of what queries see: rows could come back that were"
    " deleted.  Switch GTIDs on (OFF_PERMISSIVE, ON_PERMISSIVE, ON: no restart), or snapshot from a replica with GTIDs"
)


class Control(Protocol):
    """The control topic."""

    def open(self, offset: int | None) -> None:
        """From here on; from its beginning where it is None."""

    def take(self) -> Sequence[tuple[int, bytes]]:
        """What has come since: the offset behind each, and the request.  Waits for nothing."""

    def close(self) -> None: ...


class _Flavored(Protocol):
    @property
    def flavor(self) -> str: ...

    @property
    def has_gtids(self) -> bool: ...


class Inbox:
    """`list_tables` gives the tables of the source that are captured; it may raise SourceUnavailable."""

    def __init__(self, control: Control, tables: TableFilter, list_tables: Callable[[], list[TableName]]) -> None:
        self._control = control
        self._tables = tables
        self.list_tables = list_tables
        self._waiting: deque[tuple[int, bytes]] = deque()
        self.offset: int | None = None

    def open(self, offset: int | None) -> None:
        self.offset = offset
        self._control.open(offset)

    def close(self) -> None:
        self._control.close()

    def has_some(self) -> bool:
        self._waiting += self._control.take()
        return bool(self._waiting)

    def heed(self, state: tuple[Snapshot, ...], now: datetime) -> tuple[Snapshot, ...]:
        """The state after all that has come."""
        while self.has_some():
            offset, raw = self._waiting[0]
            try:
                request = self._understood(decoded(raw))
            except UnreadableData as error:
                log.warning("A request was passed over", why=error.found, offset=offset - 1)
            except SourceUnavailable:
                return state  # it is asked once more
            else:
                log.info("A request was heeded", request=type(request).__name__.lower(), offset=offset - 1)
                state = progress.heed(state, request, now)
            self._waiting.popleft()
            self.offset = offset
        return state

    def _understood(self, request: Request) -> Request:
        """With patterns in the place of names resolved."""
        if not isinstance(request, Start) or not any(map(_is_pattern, request.tables)):
            return request
        there = self.list_tables()
        found: dict[TableName, None] = {}
        for wanted in request.tables:
            if _is_pattern(wanted):
                found |= dict.fromkeys(one for one in there if fnmatchcase(str(one), str(wanted)))
            else:
                found[wanted] = None
        if not found:
            raise UnreadableData(f"no captured table matches {', '.join(map(str, request.tables))}")
        return Start(tuple(found), request.where, request.chunk_rows, request.rate, request.id, request.at)

    def why_not(self, name: TableName, source: _Flavored) -> str:
        """Why a table cannot be read, without a look at it; empty where it may be."""
        if not self._tables.passes(*name):
            return f"it is not captured (tables = {', '.join(self._tables.globs)}): its changes would not be heard of"
        if source.flavor == "mysql" and not source.has_gtids:
            return NO_GTIDS
        return ""


def _is_pattern(name: TableName) -> bool:
    return any(character in part for part in name for character in "*?")
