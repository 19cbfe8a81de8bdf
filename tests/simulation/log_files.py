"""
A history as the log files of one server.

Each server has its own: other names, other places to rotate at, rows events cut differently, table ids of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple
from uuid import UUID

from tests.simulation import history as h
from tests.simulation import log_events as ev
from tests.simulation.history import Statement, Table, Txn

FIRST_EVENT = 4
NOBODY = -1
"""The transaction of events that belong to none."""


class LogEvent(NamedTuple):
    """An event at its place; `txn` is the number of its transaction in the history."""

    start: int
    end: int
    kind: int
    txn: int
    raw: bytes


@dataclass(slots=True)
class LogFile:
    """`first_txn` is the number of transactions in all files before it."""

    name: str
    first_txn: int
    events: list[LogEvent] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.events[-1].end if self.events else FIRST_EVENT


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server is, and how it writes its log."""

    flavor: str
    uuid: UUID
    server_id: int
    has_gtids: bool
    checksum: bool
    log_name: str

    @property
    def name(self) -> str:
        return str(self.uuid) if self.flavor == "mysql" else str(self.server_id)

    @property
    def version(self) -> str:
        return "8.0.36" if self.flavor == "mysql" else "10.11.6-MariaDB-log"


class LogWriter:
    """Appends transactions to `files`."""

    def __init__(self, identity: Identity, dice: Random, first_file: int) -> None:
        self.identity = identity
        self.files: list[LogFile] = []
        self._dice = dice
        self._file_number = first_file
        self._table_ids: dict[Table, int] = {}
        self._next_table_id = dice.randint(80, 120)

    def open_file(self, first_txn: int, time_s: int, before: bytes, *, ending: int | None = ev.ROTATE) -> None:
        """Begins the next file; `before` is the event body that names all earlier transactions."""
        name = f"{self.identity.log_name}.{self._file_number:06}"
        self._file_number += 1
        if self.files and ending is not None:
            self._put(ending, ev.rotate(name, FIRST_EVENT) if ending == ev.ROTATE else b"", time_s, NOBODY)
        self.files.append(LogFile(name, first_txn))
        self._table_ids.clear()
        checksum = self.identity.checksum
        self._put(ev.FORMAT_DESCRIPTION, ev.format_description(self.identity.version, checksum=checksum), time_s)
        mysql = self.identity.flavor == "mysql"
        self._put(ev.PREVIOUS_GTIDS if mysql else ev.MARIADB_GTID_LIST, before, time_s)

    def append(self, txn: Txn, number: int) -> None:
        time_s = txn.committed_us // 1_000_000
        self._put(*self._gtid(txn), time_s, number, txn.server_id)
        group = list(self._group(txn))
        if self.identity.flavor == "mysql" and txn.kind == h.COMMIT and self._dice.random() < 0.1:
            self._put_compressed(group, time_s, number, txn.server_id)
            return
        for kind, body in group:
            self._put(kind, body, time_s, number, txn.server_id)

    def _put(self, kind: int, body: bytes, time_s: int, txn: int = NOBODY, server_id: int | None = None) -> None:
        file = self.files[-1]
        raw = ev.event(
            kind, body, at=file.size, time_s=time_s, server_id=server_id or self.identity.server_id,
            checksum=self.identity.checksum or kind == ev.FORMAT_DESCRIPTION,
        )  # fmt: skip
        file.events.append(LogEvent(file.size, file.size + len(raw), kind, txn, raw))

    def _put_compressed(self, group: list[tuple[int, bytes]], time_s: int, txn: int, server_id: int) -> None:
        inner = b"".join(
            ev.event(kind, body, at=0, time_s=time_s, server_id=server_id, checksum=False) for kind, body in group
        )
        body = ev.payload(inner, compressed=self._dice.random() < 0.5)
        self._put(ev.TRANSACTION_PAYLOAD, body, time_s, txn, server_id)

    def _gtid(self, txn: Txn) -> tuple[int, bytes]:
        if self.identity.flavor == "mysql":
            named = self.identity.has_gtids
            body = ev.gtid(UUID(txn.origin) if named else None, txn.number if named else 0, txn.committed_us)
            return (ev.GTID if named else ev.ANONYMOUS_GTID), body
        decided = txn.kind in (h.XA_COMMIT, h.XA_ROLLBACK)
        return ev.MARIADB_GTID, ev.mariadb_gtid(
            txn.number,
            standalone=txn.kind == h.QUERY or decided,
            prepared=txn.xid if txn.kind in (h.PREPARE, h.ONE_PHASE) else None,
            completed=decided,
        )

    def _group(self, txn: Txn) -> Iterator[tuple[int, bytes]]:
        """What follows the GTID event."""
        if txn.kind in (h.XA_COMMIT, h.XA_ROLLBACK):
            verb = "COMMIT" if txn.kind == h.XA_COMMIT else "ROLLBACK"
            yield ev.QUERY, ev.query("", f"XA {verb} {ev.xid_text(txn.xid)}")
            return
        xa = txn.kind in (h.PREPARE, h.ONE_PHASE)
        if self.identity.flavor == "mysql" and txn.kind != h.QUERY:
            yield ev.QUERY, ev.query("shop", f"XA START {ev.xid_text(txn.xid)}" if xa else "BEGIN")
        for one in txn.items:
            if isinstance(one, str):
                yield ev.QUERY, ev.query("shop", one)
            else:
                yield from self._statement(one)
        if xa:
            yield ev.QUERY, ev.query("shop", f"XA END {ev.xid_text(txn.xid)}")
            yield ev.XA_PREPARE, ev.xa_prepare(txn.xid, one_phase=txn.kind == h.ONE_PHASE)
        elif txn.kind == h.COMMIT:
            engine = txn.number % 7  # tables without transactions end theirs by a statement
            yield (ev.QUERY, ev.query("shop", "COMMIT")) if engine == 0 else (ev.XID, txn.number.to_bytes(8, "little"))

    def _statement(self, statement: Statement) -> Iterator[tuple[int, bytes]]:
        """The table map, then the rows in events of a size of this server's own."""
        table, mysql = statement.table, self.identity.flavor == "mysql"
        if self._dice.random() < 0.2:
            yield (ev.ROWS_QUERY, b"\x09INSERT ..") if mysql else (ev.ANNOTATE, b"INSERT ..")
        if table not in self._table_ids:
            self._table_ids[table] = self._next_table_id = self._next_table_id + 1
        table_id = self._table_ids[table]
        yield ev.TABLE_MAP, ev.table_map(table_id, table)
        kind = (ev.ROWS if mysql else ev.ROWS_V1)[statement.action]
        at, changes = 0, statement.changes
        while at < len(changes):
            size = self._dice.choice((1, 2, 3, 5, 8))
            last = at + size >= len(changes)
            yield kind, ev.rows(table_id, table, changes[at : at + size], last=last, version=2 if mysql else 1)
            at += size
