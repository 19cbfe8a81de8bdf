"""
The bodies of the log events that matter beside rows: transactions, statements, rotations.

Source of the formats: MySQL libbinlogevents (control_events.h, statement_events.h), MariaDB sql/log_event.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

from meepo2_cdc.records.position import MysqlGtidSet

QUERY, STOP, ROTATE, FORMAT_DESCRIPTION, XID, TABLE_MAP = 2, 3, 4, 15, 16, 19
INCIDENT, HEARTBEAT, GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS, XA_PREPARE = 26, 27, 33, 34, 35, 38
EXECUTE_LOAD_QUERY, PARTIAL_UPDATE_ROWS, TRANSACTION_PAYLOAD, HEARTBEAT_V2, TAGGED_GTID = 18, 39, 40, 41, 42
MARIADB_GTID, MARIADB_GTID_LIST, MARIADB_QUERY_COMPRESSED = 162, 163, 165
WRITE_ROWS_V1, UPDATE_ROWS_V1, DELETE_ROWS_V1 = 23, 24, 25
WRITE_ROWS, UPDATE_ROWS, DELETE_ROWS = 30, 31, 32
MARIADB_COMPRESSED_ROWS = range(166, 172)

# carry nothing for us: statement context, row queries, annotations, group replication, checkpoints of the binlog
PASSED_OVER = frozenset((0, STOP, 5, 9, 11, 13, 14, 17, 28, 29, 36, 37, 160, 161, 164))
IGNORABLE = 0x80  # LOG_EVENT_IGNORABLE_F: a reader that does not know the event may pass over it

_MICROS_MASK = (1 << 55) - 1
_gtid = struct.Struct("<B16sqBqq").unpack_from
_mariadb_gtid = struct.Struct("<QIB").unpack_from
_MARIADB_STANDALONE, _MARIADB_GROUP_COMMIT, _MARIADB_PREPARED_XA = 1, 2, 64


class GtidEvent(NamedTuple):
    """
    `server` is the 16 bytes of the uuid.

    `committed_us` is the time at the server on which the transaction was made, so that it is the same on every replica,
    `here_us` that at the server whose log this is; None before MySQL 8.0.1.
    """

    server: bytes
    number: int
    committed_us: int | None
    here_us: int | None


def read_gtid(buf: bytes, start: int, end: int) -> GtidEvent:
    """A GTID or anonymous GTID event."""
    _, server, number, _, _, _ = _gtid(buf, start)
    at = start + 42
    if end - at < 7:
        return GtidEvent(server, number, None, None)
    here = committed = int.from_bytes(buf[at : at + 7], "little")
    if here >> 55 and end - at >= 14:
        committed = int.from_bytes(buf[at + 7 : at + 14], "little")
    return GtidEvent(server, number, committed & _MICROS_MASK, here & _MICROS_MASK)


class MariadbGtidEvent(NamedTuple):
    """`standalone`: the transaction is one statement.  `xa`: the xid of an XA transaction that is being prepared."""

    number: int
    domain: int
    standalone: bool
    xa: str | None


def read_mariadb_gtid(buf: bytes, start: int) -> MariadbGtidEvent:
    """A GTID event of MariaDB (sql/log_event.h, Gtid_log_event)."""
    number, domain, flags = _mariadb_gtid(buf, start)
    xa = None
    if flags & _MARIADB_PREPARED_XA:
        at = start + 13 + (8 if flags & _MARIADB_GROUP_COMMIT else 0)
        form = int.from_bytes(buf[at : at + 4], "little")
        branch = at + 6 + buf[at + 4]
        xa = f"x'{buf[at + 6 : branch].hex()}',x'{buf[branch : branch + buf[at + 5]].hex()}',{form}"
    return MariadbGtidEvent(number, domain, bool(flags & _MARIADB_STANDALONE), xa)


def read_tagged_gtid(buf: bytes, start: int) -> tuple[GtidEvent, str]:
    """
    A GTID event of MySQL 8.3 and later, and its tag.

    Format: mysql::serialization (MySQL source documentation, "Library: Serialization"): after the version, the size and
    the last field that must be known, each field as its number and its value.
    """
    at = start
    for _ in range(3):
        _, at = _varlen(buf, at)
    values: dict[int, int | bytes] = {}
    for number, read in enumerate(_TAGGED_FIELDS):
        found, behind = _varlen(buf, at)
        if found == number:  # else the field is left out
            values[number], at = read(buf, behind)
    server, tag = bytes(values[1]), bytes(values[3])
    here, committed = int(values[6]), int(values.get(7, values[6]))
    return GtidEvent(server, int(values[2]), committed, here), tag.decode()


def _varlen(buf: bytes, at: int) -> tuple[int, int]:
    """An unsigned number: as many bytes as there are one bits at the low end of the first, and one more."""
    size = (~buf[at] & buf[at] + 1).bit_length()
    return int.from_bytes(buf[at : at + size], "little") >> min(size, 8), at + size


def _varlen_signed(buf: bytes, at: int) -> tuple[int, int]:
    found, at = _varlen(buf, at)
    return (-(found >> 1) - 1 if found & 1 else found >> 1), at


def _varlen_bytes(count: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    def read(buf: bytes, at: int) -> tuple[bytes, int]:
        found = bytearray()
        for _ in range(count):
            byte, at = _varlen(buf, at)
            found.append(byte)
        return bytes(found), at

    return read


def _varlen_string(buf: bytes, at: int) -> tuple[bytes, int]:
    size, at = _varlen(buf, at)
    return buf[at : at + size], at + size


# flags, uuid, number, tag, last committed, sequence number, commit time here, commit time at the origin
_TAGGED_FIELDS: tuple[Callable[[bytes, int], tuple[int | bytes, int]], ...] = (
    _varlen_bytes(1), _varlen_bytes(16), _varlen_signed, _varlen_string, _varlen_signed, _varlen_signed, _varlen,
    _varlen,
)  # fmt: skip


def read_previous_gtids(body: bytes) -> Iterator[tuple[str, int, int]]:
    """
    Name (uuid, with the tag if there is one), first and last number of each interval.

    The highest byte of the count tells the form: since MySQL 8.3 it is 1 where there are tags (rpl_gtid_set.cc).
    """
    tagged = body[7] == 1
    count = int.from_bytes(body[1:7] if tagged else body[:8], "little")
    at = 8
    for _ in range(count):
        name = str(UUID(bytes=body[at : at + 16]))
        at += 16
        if tagged:
            tag, at = _varlen_string(body, at)
            name += f":{tag.decode()}" if tag else ""
        many = int.from_bytes(body[at : at + 8], "little")
        ends = struct.unpack_from(f"<{2 * many}q", body, at + 8)
        at += 8 + 16 * many
        yield from ((name, first, behind - 1) for first, behind in zip(ends[::2], ends[1::2], strict=True))


def encoded_gtid_set(gtids: MysqlGtidSet) -> bytes:
    """A set as the dump command takes it: the form of a previous-GTIDs event, with tags only where there are any."""
    members = list(gtids.members())
    tagged = any(":" in name for name, _ in members)
    out = [struct.pack("<Q", 1 << 56 | len(members) << 8 | 1 if tagged else len(members))]
    for name, intervals in members:
        server, _, tag = name.partition(":")
        out.append(UUID(server).bytes)
        if tagged:
            out.append(bytes((len(tag) << 1,)) + tag.encode())
        ends = [end for first, last in intervals for end in (first, last + 1)]
        out.append(struct.pack(f"<{1 + len(ends)}q", len(intervals), *ends))
    return b"".join(out)


def read_mariadb_gtid_list(body: bytes) -> list[tuple[int, int, int]]:
    """Domain, server, sequence number: the last transaction of each domain and server, in order."""
    count = int.from_bytes(body[:4], "little") & 0x0FFFFFFF
    return [struct.unpack_from("<IIQ", body, 4 + 16 * n) for n in range(count)]


def read_rotate(body: bytes) -> tuple[str, int]:
    """The next file and the position in it."""
    return body[8:].decode(), int.from_bytes(body[:8], "little")


def read_query(buf: bytes, start: int, end: int, text: Callable[[int, bytes], str]) -> tuple[str, str]:
    """
    Default schema and statement of a query event.

    Statements are in the character set of their session: `text` decodes one that is no UTF-8, by the number of the
    session's collation.
    """
    schema_size = buf[start + 8]
    status = buf[start + 13 : start + 13 + (buf[start + 11] | buf[start + 12] << 8)]
    at = start + 13 + len(status)
    schema = buf[at : at + schema_size].decode("utf-8", "replace")
    statement = buf[at + schema_size + 1 : end]
    try:
        return schema, statement.decode()
    except UnicodeDecodeError:
        collation = _session_collation(status)
        return schema, statement.decode("utf-8", "replace") if collation is None else text(collation, statement)


_CHARSET_STATUS, _INVOKER_STATUS, _UPDATED_SCHEMAS_STATUS = 4, 11, 12
_TOO_MANY_SCHEMAS = 254
_STATUS_BYTES = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1}
_STATUS_STRINGS = {5: 1, 6: 1, _INVOKER_STATUS: 2}


def _status(status: bytes, wanted: int) -> bytes | None:
    """
    What follows a code among the status variables of a query event, as long as all in front of it are known.

    Format: libbinlogevents statement_events.h, Query_event; strings have their length in front.
    """
    at = 0
    while at + 1 < len(status) and (code := status[at]) != wanted:
        at += 1
        for _ in range(_STATUS_STRINGS.get(code, 0)):
            at += 1 + (status[at] if at < len(status) else 0)
        if code not in _STATUS_STRINGS and code not in _STATUS_BYTES:
            return None
        at += _STATUS_BYTES.get(code, 0)
    return status[at + 1 :] or None


def _session_collation(status: bytes) -> int | None:
    found = _status(status, _CHARSET_STATUS)
    return found[0] | found[1] << 8 if found and len(found) > 1 else None


def updated_schemas(buf: bytes, start: int) -> tuple[str, ...] | None:
    """
    The schemas in which the statement of a query event may have changed rows, through triggers and functions too.

    MySQL names them, so that its replicas can apply statements on different schemas at once.  None where it does not,
    as on MariaDB, or where there are too many.
    """
    status = buf[start + 13 : start + 13 + (buf[start + 11] | buf[start + 12] << 8)]
    found = _status(status, _UPDATED_SCHEMAS_STATUS)
    if found is None or found[0] in (0, _TOO_MANY_SCHEMAS):
        return None
    names = found[1:].split(b"\0", found[0])
    return tuple(name.decode("utf-8", "replace") for name in names[:-1]) if len(names) > found[0] else None


def ended_s(buf: bytes, start: int, began_s: int, committed_us: int) -> float:
    """
    The unix time at which the statement of a query event had been carried out, at the latest.

    Where the transaction's time is in whole seconds, it is that of the statement's beginning.
    """
    if committed_us % 1_000_000:
        return committed_us / 1_000_000
    return began_s + int.from_bytes(buf[start + 4 : start + 8], "little") + 1


_COMMENT = re.compile(r"\s+|/\*(?![!M]).*?\*/|(?:#|--(?=\s|$))[^\n]*(?:\n|$)|/\*M?!\d*|\*/|[;(]", re.DOTALL)
_SET_STATEMENT = re.compile(r"SET\s+STATEMENT\s(?:'[^']*'|\"[^\"]*\"|[^'\"])*?\sFOR\s", re.IGNORECASE)  # MariaDB
_WORD = re.compile(r"[A-Za-z]+")
_GAP = r"(?:\s|/\*.*?\*/|(?:#|--(?=\s))[^\n]*\n)*"
_NAME = r"(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[\w$\ufffd]+)"
_TRUNCATE = re.compile(
    rf"TRUNCATE(?![\w$]){_GAP}(?:TABLE(?![\w$]){_GAP})?{_NAME}(?:{_GAP}\.{_GAP}{_NAME})?", re.IGNORECASE | re.DOTALL
)
# a SELECT is logged when a function that it calls changes rows
_ROW_STATEMENT = re.compile(
    r"(?:ANALYZE\s+(?:FORMAT\s*=\s*\w+\s+)?)?(?:INSERT|UPDATE|DELETE|REPLACE|LOAD|WITH|SELECT)(?![\w$])", re.IGNORECASE
)
_CREATE_TABLE = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?TABLE(?![\w$])(.*)", re.IGNORECASE | re.DOTALL)
_ROWS_SOURCE = re.compile(r"(?<![\w$.])(?:(?:SELECT|TABLE)(?![\w$])|VALUES\s*(?:ROW\s*)?\()", re.IGNORECASE)
_QUOTED = re.compile(
    r"`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|/\*.*?\*/|(?:#|--(?=\s))[^\n]*", re.DOTALL
)


def bare(statement: str) -> str:
    """The statement without the space, comments, marks of version comments and settings in front of it."""
    at = 0
    while found := _COMMENT.match(statement, at) or _SET_STATEMENT.match(statement, at):
        at = found.end()
    return statement[at:]


def first_words(statement: str, count: int = 2) -> tuple[str, ...]:
    """The first words of a bare statement in capitals."""
    return tuple(word.upper() for word in _WORD.findall(statement[:64])[:count])


def changes_rows(statement: str) -> bool:
    """Whether a bare statement changes rows, so that the log holds its text and not its rows."""
    if _ROW_STATEMENT.match(statement):
        return True
    created = _CREATE_TABLE.match(statement)
    return created is not None and _ROWS_SOURCE.search(_QUOTED.sub("''", created[1])) is not None


def truncated_table(schema: str, statement: str) -> tuple[str, str] | None:
    """Schema and table that a bare statement truncates; None for any other statement."""
    found = _TRUNCATE.match(statement)
    return None if found is None else _named(schema, found)


def _named(schema: str, found: re.Match[str]) -> tuple[str, str]:
    first, second = found[1], found[2]
    return (schema, _unquoted(first)) if second is None else (_unquoted(first), _unquoted(second))


_PARTITION_CHANGE = re.compile(
    rf"ALTER(?![\w$]){_GAP}(?:ONLINE{_GAP})?(?:IGNORE{_GAP})?TABLE(?![\w$]){_GAP}{_NAME}(?:{_GAP}\.{_GAP}{_NAME})?{_GAP}"
    r"(?:.*?,)?\s*(?:TRUNCATE|DROP|EXCHANGE|IMPORT|DISCARD|CONVERT)\s+(?:PARTITION|TABLESPACE|TABLE)(?![\w$])",
    re.IGNORECASE | re.DOTALL,
)


def table_of_partition_change(schema: str, statement: str) -> tuple[str, str] | None:
    """Schema and table of a bare ALTER TABLE that takes rows away or brings rows, none of which is in the log."""
    found = _PARTITION_CHANGE.match(statement)
    return None if found is None else _named(schema, found)


_LAST_NAME = re.compile(rf"{_NAME}\s*;?\s*\Z")


def savepoint_of(statement: str) -> str:
    """The name in SAVEPOINT and ROLLBACK TO, in small letters, since case does not matter in it."""
    found = _LAST_NAME.search(statement)
    return _unquoted(found[1]).lower() if found else ""


_XID = re.compile(r"X'[0-9a-f]*',\s*X'[0-9a-f]*',\s*\d+", re.IGNORECASE)


def xid_of(statement: str) -> str:
    """The xid of an XA statement, as the servers write it to the log: X'..',X'..',1."""
    found = _XID.search(statement)
    return found[0].replace(" ", "").lower() if found else statement


def is_one_phase(buf: bytes, start: int) -> bool:
    """Whether an XA prepare event is in truth a commit (libbinlogevents control_events.h, XA_prepare_event)."""
    return bool(buf[start])


def _unquoted(name: str) -> str:
    quote = name[0]
    return name[1:-1].replace(quote * 2, quote) if quote in '`"' else name
