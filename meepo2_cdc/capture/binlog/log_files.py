"""
A server's log files on this machine, cut into the same events that the server would send.

Knows magic numbers, event headers and checksums; knows nothing of what is inside of events.  Source of the formats:
MySQL libbinlogevents (binlog_event.h, control_events.h), sql/binlog_ostream.h for encrypted files; MariaDB
sql/log_event.h, Start_encryption_log_event.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from meepo2_cdc.capture.binlog.stream import FORMAT_DESCRIPTION, Event
from meepo2_cdc.errors import ConfigError, UnreadableData
from meepo2_cdc.records.position import file_number

FIRST_EVENT = 4
_MAGIC, _ENCRYPTED_MAGIC = b"\xfebin", b"\xfdbin"
_START_ENCRYPTION = 164
_IN_USE = 1  # LOG_EVENT_BINLOG_IN_USE_F: set while the server writes to the file, and not part of the checksum
_HEADER_BYTES, _FLAGS_AT = 19, 17
_VERSION_AT, _VERSION_BYTES = 2, 50
_PIECE_BYTES = 1 << 18
_header = struct.Struct("<IBIIIH").unpack_from
_NAME = re.compile(r"(.+\.\d+)(\.gz|\.zst)?")
_SHOWN = 10


class Broken(UnreadableData):
    """A file ends or is spoilt at `offset`; all of it before is whole."""

    def __init__(self, path: Path, offset: int, why: str) -> None:
        super().__init__(
            f"{path} is broken at byte {offset}: {why}",
            fix="Get the file anew, from a backup or another replica, and run this again: what is published already is"
            " not published twice.",
        )


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself: what wrote it, the number of that server, and the bytes of its checksums."""

    version: str
    server_id: int
    checksum_bytes: int


@dataclass(frozen=True, slots=True)
class LogFile:
    """`name` is that which the server gave it."""

    path: Path
    name: str

    def head(self) -> Head:
        """Raises ConfigError for what is no plain log file."""
        with self._opened() as stream:
            first, second = _first_two(self.path, stream)
        if second is not None and second.kind == _START_ENCRYPTION:
            raise _encrypted(self.path)
        version = first.buf[first.start + _VERSION_AT : first.start + _VERSION_AT + _VERSION_BYTES]
        return Head(version.rstrip(b"\0").decode("ascii", "replace"), first.server_id, _checksum_bytes(first))

    def events(self, begin: int = FIRST_EVENT) -> Iterator[Event]:
        """
        Those from `begin` on, each compared with its checksum; the format description only where it is among them.

        Raises Broken where no whole event is found, also when none begins at `begin`.
        """
        with self._opened() as stream:
            stream.read(FIRST_EVENT)
            at = FIRST_EVENT
            for event in _cut(self.path, stream):
                if at >= begin:
                    yield event
                at += event.size
                if at - event.size < begin < at:
                    raise Broken(self.path, begin, "no event begins there; is it a file of another server?")
            if at < begin:
                raise Broken(self.path, at, f"it ends there, and byte {begin} was read from it before")

    def _opened(self) -> BinaryIO:
        try:
            if self.path.suffix == ".gz":
                return cast(BinaryIO, gzip.open(self.path))
            if self.path.suffix == ".zst":
                return cast(BinaryIO, zstandard.open(self.path, "rb"))
            return self.path.open("rb")
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error


def _first_two(path: Path, stream: BinaryIO) -> tuple[Event, Event | None]:
    try:
        magic = stream.read(FIRST_EVENT)
    except (OSError, zstandard.ZstdError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if magic == _ENCRYPTED_MAGIC:
        raise _encrypted(path)
    if magic != _MAGIC:
        raise ConfigError(f"{path} is no log file: it begins with {magic.hex(' ') or 'nothing'}, not {_MAGIC.hex(' ')}")
    events = _cut(path, stream)
    first = next(events, None)
    if first is None or first.kind != FORMAT_DESCRIPTION:
        raise ConfigError(f"{path} is no log file of MySQL 5.6, MariaDB 10 or later: it does not describe its format")
    return first, next(events, None)


def _encrypted(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is encrypted, and the key is the server's",
        fix="Get plain copies from a server that has the key:\n"
        f"  mysqlbinlog --read-from-remote-server --raw --host=... {_named(path).name}\n"
        "(mariadb-binlog on MariaDB); or capture from the server itself.",
    )


def _checksum_bytes(first: Event) -> int:
    """The format description has a checksum always; the byte before it says whether the others have one."""
    return 4 if first.buf[first.end - 1] == 1 else 0


def _cut(path: Path, stream: BinaryIO) -> Iterator[Event]:
    """The events behind the magic number."""
    buf, at, offset = b"", 0, FIRST_EVENT
    checksum_bytes = 4
    while True:
        buf, at = _filled(path, stream, buf, at, _HEADER_BYTES, offset)
        if at == len(buf):
            return
        timestamp, kind, server_id, size, end_position, flags = _header(buf, at)
        if size < _HEADER_BYTES:
            raise Broken(path, offset, "what follows is no event")
        buf, at = _filled(path, stream, buf, at, size, offset)
        stop = at + size - checksum_bytes
        if kind == FORMAT_DESCRIPTION:
            stop = at + size - 4
        event = Event(kind, timestamp, server_id, size, end_position, flags, buf, at + _HEADER_BYTES, stop)
        if kind == FORMAT_DESCRIPTION:
            checksum_bytes = _checksum_bytes(event)
        _compare(path, event, offset, checksum_bytes)
        yield event
        at += size
        offset += size


def _filled(path: Path, stream: BinaryIO, buf: bytes, at: int, size: int, offset: int) -> tuple[bytes, int]:
    """The buffer with at least so many bytes behind `at`, or none at the end of the file."""
    have = len(buf) - at
    if have >= size:
        return buf, at
    pieces = [buf[at:]]
    while have < size:
        try:
            piece = stream.read(max(_PIECE_BYTES, size - have))
        except (EOFError, OSError, zlib.error, zstandard.ZstdError) as error:
            raise Broken(path, offset, str(error)) from error
        if not piece:
            break
        pieces.append(piece)
        have += len(piece)
    if 0 < have < size:
        raise Broken(path, offset, f"it ends within an event, of which {have} bytes are there")
    return b"".join(pieces), 0


def _compare(path: Path, event: Event, offset: int, checksum_bytes: int) -> None:
    """With its checksum, and its place with that which it had when it was written, where it tells (MariaDB 11.4)."""
    start, behind = event.start - _HEADER_BYTES, event.end
    if checksum_bytes:
        front = event.buf[start : event.start]
        if event.kind == FORMAT_DESCRIPTION:
            flags = event.flags & ~_IN_USE
            front = front[:_FLAGS_AT] + flags.to_bytes(2, "little")
        found = zlib.crc32(memoryview(event.buf)[event.start : behind], zlib.crc32(front))
        if found != int.from_bytes(event.buf[behind : behind + 4], "little"):
            raise Broken(path, offset, "an event does not have its checksum")
    if event.end_position not in (0, (offset + event.size) & 0xFFFFFFFF):
        raise Broken(
            path, offset, f"an event says that it ended at {event.end_position} when it was written; a relay log?"
        )


# -- several files


def ordered(paths: Iterable[Path]) -> list[LogFile]:
    """In the order of the log, however they were given; raises ConfigError when some are missing between them."""
    files = sorted(map(_named, paths), key=lambda file: file_number(file.name))
    series = {file.name.rpartition(".")[0] for file in files}
    if len(series) > 1:
        raise ConfigError(f"the files are of several logs: {', '.join(sorted(series))}", fix="Give those of one log.")
    for file, after in pairwise(files):
        if file_number(file.name) == file_number(after.name):
            raise ConfigError(f"{file.path} and {after.path} are the same file of the log; give one of them")
    missing = sorted(_between(files))
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ConfigError(
            f"files of the log are missing: {', '.join(missing[:_SHOWN])}{more}",
            fix="Give all files from the first to the last; what is published already is passed over.",
        )
    return files


def _named(path: Path) -> LogFile:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ConfigError(
            f"{path} has no name of a log file, such as binlog.000007", fix="It may end with .gz or .zst besides."
        )
    return LogFile(path, found[1])


def _between(files: list[LogFile]) -> Iterator[str]:
    """Names of those that should be there, with as many digits as their neighbours have."""
    for file, after in pairwise(files):
        base, _, digits = file.name.rpartition(".")
        for number in range(int(digits) + 1, file_number(after.name)):
            yield f"{base}.{number:0{len(digits)}}"
