"""
Transactions of log files that were read before, passed over as a server passes over what a replica has.
"""

from __future__ import annotations

from uuid import UUID

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.records.position import GtidSet

_BETWEEN = frozenset((
    ev.STOP, ev.ROTATE, ev.FORMAT_DESCRIPTION, ev.PREVIOUS_GTIDS, ev.MARIADB_GTID_LIST, 161, 164,
))  # fmt: skip
"""Events that belong to no transaction; on MariaDB also the log's own checkpoints, and the start of encryption."""


def gtid_of(event: Event) -> str:
    """The global id in an event that has one."""
    if event.kind == ev.MARIADB_GTID:
        found = ev.read_mariadb_gtid(event.buf, event.start)
        return f"{found.domain}-{event.server_id}-{found.number}"
    if event.kind == ev.TAGGED_GTID:
        tagged, tag = ev.read_tagged_gtid(event.buf, event.start)
        return f"{UUID(bytes=tagged.server)}{f':{tag}' if tag else ''}:{tagged.number}"
    read = ev.read_gtid(event.buf, event.start, event.end)
    return f"{UUID(bytes=read.server)}:{read.number}"


class Executed:
    """
    Which events are of transactions that are in `gtids`.

    MySQL: each that is in the set (sql/rpl_binlog_sender.cc, skip_event).
    """

    def __init__(self, gtids: GtidSet) -> None:
        self._gtids = gtids
        self._passing = False

    def passes_over(self, event: Event) -> bool:
        kind = event.kind
        if kind in (ev.GTID, ev.TAGGED_GTID, ev.MARIADB_GTID):
            self._passing = self._is_in(gtid_of(event))
        elif kind == ev.ANONYMOUS_GTID:
            self._passing = False
        return self._passing and kind not in _BETWEEN

    def _is_in(self, gtid: str) -> bool:
        return gtid in self._gtids


class ExecutedOnMariadb(Executed):
    """
    MariaDB: of each domain all up to the very transaction that was the last (sql/sql_repl.cc, send_event_to_slave).

    `before` are those of each domain and server before the file in which reading begins.
    """

    def __init__(self, gtids: GtidSet, before: frozenset[str]) -> None:
        super().__init__(gtids)
        self._awaited = {gtid.partition("-")[0]: gtid for gtid in str(gtids).split(",") if gtid}
        for domain, gtid in [*self._awaited.items()]:
            if any(is_up_to(gtid, one) for one in before):
                del self._awaited[domain]

    def _is_in(self, gtid: str) -> bool:
        domain = gtid.partition("-")[0]
        if domain not in self._awaited:
            return False
        if self._awaited[domain] == gtid:
            del self._awaited[domain]
        return True


def is_up_to(gtid: str, other: str) -> bool:
    """Whether a transaction of MariaDB is another one of the same domain and server, or before it."""
    (writer, _, number), (other_writer, _, other_number) = gtid.rpartition("-"), other.rpartition("-")
    return writer == other_writer and int(number) <= int(other_number)
