"""
What the capture sees of the server that its address leads to now: answers to questions, and the dump as packets.

Stands in for SourceServer, Visibility, DumpLink, open_dump and the socket of BinlogStream; all that is built on these
is the real thing.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import TYPE_CHECKING

from meepo2_cdc.capture.binlog.connection import DumpPosition
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.tables import TableMap
from meepo2_cdc.errors import SourceUnavailable, UnreadableData
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition
from tests.simulation import mysql
from tests.simulation.mysql import Refused, SimServer

if TYPE_CHECKING:
    from tests.simulation.capture import Process

_TICK_SECONDS = 0.2


class SimCatalog:
    """Table maps carry all that is needed; only the collation's number must be looked up."""

    is_mariadb = False

    def definition_changed(self, *what: object) -> None:
        """Nothing was asked that could be outdated."""

    def charset_of(self, collation: int) -> str | None:
        return {45: "utf8mb4"}[collation]

    def text_decoder(self, charset: str) -> TextDecoder:
        raise UnreadableData(f"no decoder for {charset} is wanted here")

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        raise UnreadableData(f"{table.qualified_table} came without its key")

    def native_type(self, table: TableMap, column: int) -> str | None:
        return None


class SimSourceServer:
    """Answers like SourceServer; each question is an effect, and may find nobody."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.address = "sim:3306"
        self.catalog = SimCatalog()

    def _ask(self, what: str) -> SimServer:
        self._process.reach(what)
        return self._process.world.server

    def close(self) -> None:
        """Nothing is held."""

    @property
    def version(self) -> str:
        return self._process.world.server.identity.version

    @property
    def flavor(self) -> str:
        return self._process.world.server.identity.flavor

    @property
    def has_gtids(self) -> bool:
        return self._process.world.server.identity.has_gtids

    @property
    def identity(self) -> str:
        return self._ask("ask who it is").identity.name

    def variables(self, *names: str) -> dict[str, str]:
        server = self._ask("ask for variables")
        known = {
            "gtid_executed": server.executed, "gtid_purged": server.purged, "gtid_binlog_state": server.binlog_state,
            "gtid_slave_pos": str,
        }  # fmt: skip
        return {name: known[name]() for name in names}

    def end(self) -> tuple[LogPosition, str | None]:
        server = self._ask("ask for the end")
        return LogPosition(*server.end()), server.executed() if self.has_gtids else None

    def files(self) -> list[tuple[str, int]]:
        return [(file.name, file.size) for file in self._ask("ask for files").files]

    def is_subset(self, part: str, whole: str) -> bool:
        self._ask("ask for a subset")
        return mysql.within(mysql.parse(part), mysql.parse(whole))


class SimDump:
    """
    A connection on which a server sends its log: bytes in packets, cut anywhere.

    A `broken` one gives nothing any more, and a `muted` one no heartbeats.
    """

    def __init__(self, process: Process, server: SimServer, where: DumpPosition) -> None:
        self.process = process
        self.broken = self.muted = False
        self._server = server
        self.checksum_bytes = 4 if self._server.identity.checksum else 0
        self._out = bytearray()
        try:
            self._events = self._server.dump(where.file, where.position, where.gtid_set)
        except Refused as why:
            self._events = iter(())
            text = str(why).encode()
            self._put(b"\xff" + struct.pack("<H", 1236) + b"#HY000" + text)

    def _put(self, packet: bytes) -> None:
        self._out += (
            struct.pack("<I", len(packet)) + packet
        )  # the fourth byte is the packet's number, which is not read

    def take(self) -> bytes:
        """What is waiting, or a part of it."""
        dice, calm = self.process.dice, self.process.world.calm
        for _ in range(40 if calm else dice.choice((1, 2, 4, 12))):
            sent = next(self._events, None)
            if sent is None:
                break
            self.process.sent = max(self.process.sent, sent.txn + 1)
            self._put(b"\0" + sent.raw)
        if not self._out and not self.muted and dice.random() < 0.3:
            self._put(b"\0" + self._server.heartbeat())
        size = len(self._out) if calm or dice.random() < 0.8 else dice.randint(0, len(self._out))
        piece = bytes(self._out[:size])
        del self._out[:size]
        return piece

    def close(self) -> None:
        self.broken = True


class SimStream(BinlogStream):
    """The real cutting into packets and events, over bytes that come from no socket."""

    def __init__(self, dump: SimDump, server: str, silence_seconds: float) -> None:
        self._dump = dump
        self._server = server
        self._silence_seconds = silence_seconds
        self._checksum_bytes = dump.checksum_bytes

    def _read(self, least: int) -> Generator[None, None, bytes]:
        got, silent = b"", 0.0
        while len(got) < least:
            self._dump.process.effect("read")
            if self._dump.broken:
                raise SourceUnavailable(f"{self._server} closed the connection")
            piece = self._dump.take()
            got += piece
            if piece:
                silent = 0.0
                continue
            yield None
            self._dump.process.idle(_TICK_SECONDS)
            silent += _TICK_SECONDS
            if silent >= self._silence_seconds:
                raise SourceUnavailable(f"{self._server} is silent")
        return got


class SimDumpLink:
    """A connection before its dump begins.  Its server may have been replaced since, and still be there."""

    def __init__(self, process: Process) -> None:
        process.reach("link")
        self._process = process
        self._server = process.world.server
        self.broken = False
        self.identity = self._server.identity.name
        process.link = self

    def begin(self, server_id: int, flavor: str, where: DumpPosition) -> SimDump:
        self._process.reach("dump")
        if self.broken:
            raise SourceUnavailable("sim:3306 closed the connection")
        self._process.dump = SimDump(self._process, self._server, where)
        return self._process.dump

    def close(self) -> None:
        self.broken = True
        if self._process.dump is not None:
            self._process.dump.close()


class SimVisibility:
    """What this server logs, it has committed; the question is an effect like others."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def wait(self, checkpoint: Checkpoint, stopping: object) -> None:
        self._process.effect("ask what is committed")

    def close(self) -> None:
        """Nothing is held."""
