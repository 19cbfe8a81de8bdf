"""
A server: a history, the files of it that are still there, and what it answers to who asks for its log.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from random import Random
from typing import NamedTuple
from uuid import UUID

from tests.simulation import log_events as ev
from tests.simulation.history import Txn
from tests.simulation.log_files import FIRST_EVENT, NOBODY, Identity, LogFile, LogWriter

Gtids = dict[str, list[tuple[int, int]]]
"""By server (MariaDB: by domain) the first and last number of each interval."""


class Refused(Exception):
    """The server's error 1236, with its text."""


class Sent(NamedTuple):
    """An event of a dump, and the number of its transaction in the history."""

    raw: bytes
    txn: int = NOBODY


class SimServer:
    """Shares the list of transactions with its replicas; `catch_up` writes those that are not yet in its own log."""

    def __init__(self, identity: Identity, txns: list[Txn], dice: Random, now_s: int, first_file: int = 1) -> None:
        self.identity = identity
        self.txns = txns
        self._dice = dice
        self._log = LogWriter(identity, dice, first_file)
        self._written = 0
        self._purged: list[LogFile] = []
        self.flush(now_s)

    @property
    def files(self) -> list[LogFile]:
        return self._log.files

    @property
    def written(self) -> int:
        return self._written

    # -- writing

    def commit(self, txn: Txn, committed_us: int) -> None:
        """Gives the transaction its id and writes it to the log."""
        txn.committed_us, txn.server_id = committed_us, self.identity.server_id
        if self.identity.flavor == "mysql":
            txn.origin = str(self.identity.uuid)
            txn.number = 1 + max((one.number for one in self.txns if one.origin == txn.origin), default=0)
            txn.gtid = f"{txn.origin}:{txn.number}"
        else:
            txn.origin, txn.number = "0", 1 + (self.txns[-1].number if self.txns else 0)
            txn.gtid = f"0-{txn.server_id}-{txn.number}"
        self.txns.append(txn)
        self.catch_up()

    def catch_up(self) -> None:
        while self._written < len(self.txns):
            txn = self.txns[self._written]
            if self._dice.random() < 0.08:
                self.flush(txn.committed_us // 1_000_000)
            self._log.append(txn, self._written)
            self._written += 1

    def flush(self, now_s: int, *, ending: int | None = ev.ROTATE) -> None:
        """Begins the next log file; a server that crashed left no `ending` event."""
        if self.identity.flavor == "mariadb":
            last = self.txns[self._written - 1] if self._written else None
            before = ev.mariadb_gtid_list([(0, last.server_id, last.number)] if last else [])
        else:
            members = as_sets(self.txns[: self._written]) if self.identity.has_gtids else {}
            before = ev.previous_gtids({UUID(name): ends for name, ends in members.items()})
        self._log.open_file(self._written, now_s, before, ending=ending)

    def purge_to(self, index: int) -> None:
        self._purged += self.files[:index]
        del self.files[:index]

    def bring_back(self) -> None:
        """What was purged is found again."""
        self.files[:0] = self._purged
        self._purged.clear()

    def backup(self, count: int) -> SimServer:
        """The server as a restored backup of the time when it had so many transactions: the same files, shorter."""
        past = SimServer(self.identity, self.txns[:count], self._dice, 0)
        kept = [
            LogFile(file.name, file.first_txn, list(takewhile(lambda event: event.txn < count, file.events)))
            for file in self.files
            if file.first_txn <= count
        ]
        past._written = count
        if kept:
            past.files[:] = kept
        else:  # older than all that was not purged: it begins its log anew
            past.files[0].first_txn = count
        return past

    # -- answers

    def executed(self) -> str:
        return self.gtid_text(self._written)

    def binlog_state(self) -> str:
        """Of MariaDB: the last transaction of each server that wrote any."""
        return ",".join({txn.server_id: txn.gtid for txn in self.txns[: self._written]}.values())

    def purged(self) -> str:
        return self.gtid_text(self.files[0].first_txn)

    def gtid_text(self, count: int) -> str:
        """The first so many transactions as a GTID set."""
        if self.identity.flavor == "mariadb":
            return self.txns[count - 1].gtid if count else ""
        ends = as_sets(self.txns[:count])
        return ",".join(f"{uuid}:{first}-{last}" for uuid, members in ends.items() for first, last in members)

    def end(self) -> tuple[str, int]:
        return self.files[-1].name, self.files[-1].size

    def file_index(self, name: str) -> int | None:
        return next((n for n, file in enumerate(self.files) if file.name == name), None)

    def txns_before(self, name: str, offset: int) -> int | None:
        """How many transactions begin before a place in the log, purged files included."""
        file = next((file for file in self._purged + self.files if file.name == name), None)
        if file is None:
            return None
        begun = [event.txn for event in file.events if event.txn != NOBODY and event.start < offset]
        return begun[-1] + 1 if begun else file.first_txn

    def place_of(self, txn: int) -> tuple[str, int]:
        """File and offset at which a transaction begins."""
        return next((file.name, event.start) for file in self.files for event in file.events if event.txn == txn)

    # -- the dump

    def dump(self, file: str, offset: int, gtids: str | None) -> Iterator[Sent | None]:
        """The log as it is sent; None when there is no more now."""
        if gtids is None:
            index = 0 if not file else self.file_index(file)
            if index is None:
                raise Refused("Could not find first log file name in binary log index file")
            start, done = max(offset, FIRST_EVENT), 0
            if start > self.files[index].size:
                raise Refused("Client requested source to start replication from position > file size")
        else:
            index, start, done = self._file_after(gtids), FIRST_EVENT, self._known(gtids)
        return self._send(self.files[index], start, done)

    def _known(self, gtids: str) -> int:
        """How many of the transactions are in a set; raises Refused for a set that this server cannot go on from."""
        if self.identity.flavor == "mariadb" and not gtids:
            return 0
        if self.identity.flavor == "mariadb":
            found = next((n for n, txn in enumerate(self.txns[: self._written]) if txn.gtid == gtids), None)
            if found is None:
                raise Refused(
                    f"connecting slave requested to start from GTID {gtids}, which is not in the master's binlog"
                )
            return found + 1
        wanted, own = parse(gtids), str(self.identity.uuid)
        if not within({own: wanted.get(own, [])}, parse(self.executed())):  # it looks at its own ids only
            raise Refused("Replica has more GTIDs than the source has, using the source's SERVER_UUID")
        if not within(parse(self.purged()), wanted):
            raise Refused("Cannot replicate because the source purged required binary logs")
        return sum(contains(wanted, txn.gtid) for txn in self.txns[: self._written])

    def _file_after(self, gtids: str) -> int:
        known = self._known(gtids)
        index = next((n for n in reversed(range(len(self.files))) if self.files[n].first_txn <= known), None)
        if index is None:
            raise Refused("Cannot replicate because the source purged required binary logs")
        return index

    def _send(self, file: LogFile, start: int, done: int) -> Iterator[Sent | None]:
        """Without the first `done` transactions; MySQL sends a heartbeat in the place of those."""
        skipped, at = 0, 0
        yield self._artificial(ev.ROTATE, ev.rotate(file.name, start))
        if start > FIRST_EVENT:
            fde = ev.format_description(self.identity.version, checksum=self.identity.checksum)
            yield self._artificial(ev.FORMAT_DESCRIPTION, fde)
            at = next((n for n, event in enumerate(file.events) if event.start >= start), len(file.events))
        while True:
            while at < len(file.events):
                event = file.events[at]
                at += 1
                if NOBODY < event.txn < done:
                    skipped = event.end if self.identity.flavor == "mysql" else 0
                    continue
                if skipped:
                    yield self._heartbeat(file.name, skipped)
                    skipped = 0
                yield Sent(event.raw, event.txn)
            following = next((one for one in self.files if one.name > file.name), None)
            if following is not None:
                file, at = following, 0
                yield self._artificial(ev.ROTATE, ev.rotate(file.name, FIRST_EVENT))
                continue
            if skipped:
                yield self._heartbeat(file.name, skipped)
                skipped = 0
            yield None

    def heartbeat(self) -> bytes:
        """What an idle connection gets from time to time."""
        return self._heartbeat(*self.end()).raw

    def _heartbeat(self, file: str, offset: int) -> Sent:
        size = ev.HEADER_BYTES + len(file) + ev.CHECKSUM_BYTES * self.identity.checksum
        return Sent(self._event(ev.HEARTBEAT, file.encode(), offset - size))

    def _artificial(self, kind: int, body: bytes) -> Sent:
        return Sent(self._event(kind, body, None))

    def _event(self, kind: int, body: bytes, at: int | None) -> bytes:
        checksum = self.identity.checksum or kind == ev.FORMAT_DESCRIPTION
        return ev.event(kind, body, at=at, time_s=0, server_id=self.identity.server_id, checksum=checksum)


# -- GTID sets of MySQL, once more


def as_sets(txns: list[Txn]) -> Gtids:
    """Each server's numbers go up by one."""
    ends: Gtids = {}
    for txn in txns:
        first = ends.get(txn.origin, [(txn.number, txn.number)])[0][0]
        ends[txn.origin] = [(first, txn.number)]
    return ends


def parse(text: str) -> Gtids:
    found: Gtids = {}
    for member in filter(None, text.split(",")):
        server, *intervals = member.split(":")
        for one in intervals:
            first, _, last = one.partition("-")
            found.setdefault(server, []).append((int(first), int(last or first)))
    return found


def contains(gtids: Gtids, gtid: str) -> bool:
    server, _, number = gtid.rpartition(":")
    return any(first <= int(number) <= last for first, last in gtids.get(server, ()))


def within(part: Gtids, whole: Gtids) -> bool:
    return all(
        any(low <= first and last <= high for low, high in whole.get(server, ()))
        for server, intervals in part.items()
        for first, last in intervals
    )
