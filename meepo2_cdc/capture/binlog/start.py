"""
Where a capture begins: after its checkpoint when there is one, else where it is told to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from meepo2_cdc.capture.binlog.connection import WAYS_OUT, DumpPosition, open_dump
from meepo2_cdc.capture.binlog.executed import is_up_to
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, FORMAT_DESCRIPTION, BinlogStream
from meepo2_cdc.capture.binlog.transactions import Position, Since
from meepo2_cdc.capture.checkpointing import position_of
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError, PositionLost
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition, gtid_set

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_EVENT = 4
"""A log file begins with four bytes of magic."""

START_FORMS = (
    "Expected earliest, latest, FILE:POSITION (binlog.000003:157), a GTID set, or a time (2026-01-31T12:00:00Z)."
)


@dataclass(frozen=True, slots=True)
class Start:
    """A position to read from, and which transactions count from there."""

    position: Position
    since: Since


def resume(server: SourceServer, checkpoint: Checkpoint) -> Start:
    """Where the checkpoint says; raises PositionLost when the source cannot go on from there."""
    if checkpoint.flavor != server.flavor:
        raise PositionLost(
            f"the checkpoint is of a {checkpoint.flavor} server, and {server.address} is {server.flavor}", fix=WAYS_OUT
        )
    published = position_of(checkpoint, with_gtids=server.has_gtids)
    verify(server, published, checkpoint.server)
    if published.gtids is not None and checkpoint.server != server.identity:
        published = replace(published, file="", offset=0)  # files mean nothing on another server
    start = behind(published)
    if start.position != published:
        verify(server, start.position, checkpoint.server)
    return start


def behind(published: Position) -> Start:
    """Reading begins at the earliest XA transaction that was undecided; what is published already does not count."""
    undecided = published.undecided
    if undecided is None:
        return Start(published, Since())
    again = replace(published, file=undecided.file, offset=undecided.offset, gtids=undecided.gtids, undecided=None)
    if again.gtids is not None:
        again = replace(again, file="", offset=0)  # it may be of a server before this one
    return Start(again, Since(published=published))


def verify(server: SourceServer, position: Position, identity: str | None) -> None:
    """Raises PositionLost unless the server has all that was read, and still all that follows."""
    if position.gtids is None:
        _verify_file(server, position, identity)
    elif server.flavor == "mysql":
        _verify_mysql_gtids(server, str(position.gtids))
    else:
        _verify_mariadb_gtids(server, str(position.gtids))


def _verify_mariadb_gtids(server: SourceServer, read: str) -> None:
    """
    Whether all that was read is there.  MariaDB itself compares where a dump begins: that may be before what was read
    (at an XA transaction that is undecided), and a capture with nothing left to read begins none.

    The log's state has the last number of each server in each domain, purged files included; what a replica that took
    over had got before its own log began is in its gtid_slave_pos.
    """
    found = server.variables("gtid_binlog_state", "gtid_slave_pos")
    executed = {member for text in found.values() for member in text.split(",") if member}
    missing = [gtid for gtid in read.split(",") if gtid and not any(is_up_to(gtid, one) for one in executed)]
    if missing:
        raise PositionLost(
            f"{server.address} has not executed all that was captured: {', '.join(missing)} of the checkpoint is not in"
            f" its log, which has {found['gtid_binlog_state'] or 'nothing'}",
            fix="It was restored from a backup, or is another server.  " + WAYS_OUT,
        )


def _verify_file(server: SourceServer, position: Position, identity: str | None) -> None:
    if identity != server.identity:
        raise PositionLost(
            f"the checkpoint is a position in a file of server {identity}, and {server.address} is {server.identity}",
            fix=WAYS_OUT,
        )
    size = dict(server.files()).get(position.file)
    if size is None:
        raise PositionLost(
            f"{server.address} has purged {position.file}, which the checkpoint points into", fix=WAYS_OUT
        )
    if position.offset > size:
        raise PositionLost(
            f"the checkpoint is {position.file}:{position.offset}, and that file ends at {size} on {server.address}",
            fix=WAYS_OUT,
        )


def _verify_mysql_gtids(server: SourceServer, read: str) -> None:
    sets = server.variables("gtid_executed", "gtid_purged")
    if not server.is_subset(read, sets["gtid_executed"]):
        raise PositionLost(
            f"{server.address} has not executed all that was captured: the checkpoint is {read},"
            f" the server has {sets['gtid_executed']}",
            fix="It was restored from a backup, or is another server.  " + WAYS_OUT,
        )
    if not server.is_subset(sets["gtid_purged"], read):
        raise PositionLost(
            f"{server.address} has purged transactions that were not captured: the checkpoint is {read},"
            f" purged are {sets['gtid_purged']}",
            fix=WAYS_OUT,
        )


def begin(server: SourceServer, source: SourceSettings, server_id: int, text: str) -> Start:
    """Where a capture without a checkpoint begins; raises ConfigError for a start that cannot be."""
    if text == "latest":
        end, executed = server.end()
        gtids = None if executed is None else gtid_set(server.flavor, executed)
        return Start(Position(end.file, end.offset, gtids), Since())
    if text == "earliest":
        return Start(Position(server.files()[0][0], FIRST_EVENT, None), Since())
    if found := re.fullmatch(r"([^:\s]+\.\d+):(\d+)", text):
        return _at_file(server, LogPosition(found[1], int(found[2])))
    if (moment := moment_of(text)) is not None:
        return _at_time(server, source, server_id, moment)
    return _at_gtids(server, text)


def _at_file(server: SourceServer, at: LogPosition) -> Start:
    sizes = dict(server.files())
    if at.file not in sizes:
        raise ConfigError(
            f"start is {at}, and {server.address} has no file {at.file}; it has {min(sizes)} to {max(sizes)}"
        )
    if not FIRST_EVENT <= at.offset <= sizes[at.file]:
        raise ConfigError(f"start is {at}, and {at.file} goes from {FIRST_EVENT} to {sizes[at.file]}")
    if not server.has_gtids:
        return Start(Position(at.file, at.offset, None), Since())
    # read from the file's beginning, which tells the ids of all that came before
    return Start(Position(at.file, FIRST_EVENT, None), Since(position=at))


def _at_gtids(server: SourceServer, text: str) -> Start:
    try:
        gtids = gtid_set(server.flavor, text)
    except ValueError as error:
        raise ConfigError(f"start is {text!r}: {error}", fix=START_FORMS) from error
    if not server.has_gtids:
        raise ConfigError(f"start is a GTID set, and {server.address} has gtid_mode OFF", fix=START_FORMS)
    if server.flavor == "mysql":
        _verify_mysql_gtids(server, str(gtids))
    return Start(Position("", 0, gtids), Since())


def moment_of(text: str) -> datetime | None:
    """A start that is a time; None for any other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        raise ConfigError(f"start is {text}, a time without its zone", fix=f"Write {moment.isoformat()}Z for UTC.")
    return moment.astimezone(UTC)


def _at_time(server: SourceServer, source: SourceSettings, server_id: int, moment: datetime) -> Start:
    """The last file that was begun before the moment; within it, transactions are passed over until then."""
    files = [name for name, _ in server.files()]
    low, high = 0, len(files) - 1
    while low < high:
        middle = (low + high + 1) // 2
        # a file that begins in that very second may have a predecessor with transactions of the same second
        if _begun(server, source, server_id, files[middle]) < int(moment.timestamp()):
            low = middle
        else:
            high = middle - 1
    if low == 0 and (begun := _begun(server, source, server_id, files[0])) > moment.timestamp():
        oldest = datetime.fromtimestamp(begun, UTC).isoformat()
        raise ConfigError(
            f"start is {moment.isoformat()}, and the log of {server.address} goes back to {oldest} only",
            fix="Use --start earliest to begin there.",
        )
    return Start(
        Position(files[low], FIRST_EVENT, None), Since(committed_us=(moment - _EPOCH) // timedelta(microseconds=1))
    )


def _begun(server: SourceServer, source: SourceSettings, server_id: int, file: str) -> int:
    dump = open_dump(source, server_id, server.flavor, DumpPosition(file, FIRST_EVENT))
    try:
        for event in BinlogStream(dump, server.address, source.connect_timeout_seconds).events():
            if event is not None and event.kind == FORMAT_DESCRIPTION and not event.flags & ARTIFICIAL:
                return event.timestamp
    finally:
        dump.close()
    raise AssertionError("a stream ends by raising")
