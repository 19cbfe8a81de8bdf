"""
Connections to the server: one for questions, one that becomes the dump of the log.

PyMySQL makes them; python-mysql-replication registers the replica and sends the dump command, from a position that is
always stated.  Its own reading and its own reconnecting (which repeats rows) are not used.
"""

from __future__ import annotations

import socket
import ssl
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pymysql
from pymysql.constants import CR
from pymysqlreplication import BinLogStreamReader

from meepo2_cdc.capture.binlog.events import encoded_gtid_set
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError, Error, Fenced, PositionLost, SourceUnavailable, UnreadableData
from meepo2_cdc.records.position import MysqlGtidSet
from meepo2_cdc.source_address import tls_arguments

ER_MASTER_FATAL_ERROR_READING_BINLOG = 1236
ER_MARIADB_SAME_SERVER_ID = 4052
COM_BINLOG_DUMP_GTID = 0x1E
ANSWER_SECONDS = 30

WAYS_OUT = (
    "Ways out:\n"
    "- point source.dsn at a server that still has the log (the former source, a replica of it);\n"
    "- accept the gap: `meepo2-cdc checkpoint set earliest` goes on with the oldest change that is still in the log;\n"
    "  then bring the targets up to date from the source."
)
_GTIDS_AT = 4 + 1 + 2 + 4 + 4 + 3 + 8  # packet header, command, flags, server id, size and name of the file, position
# what a person must change (MySQL, "Server Error Message Reference"; MariaDB, "Error Codes")
_REFUSED = frozenset((
    1044, 1045, 1049, 1130, 1142, 1143, 1227, 1251, 1275, 1370, 1524, 1698, 1820, 1862, 3118, 3159, 3955, 4151,
    CR.CR_AUTH_PLUGIN_CANNOT_LOAD, CR.CR_AUTH_PLUGIN_ERR,
))  # fmt: skip
# what passes: too many connections, a server or a proxy that starts or ends, one that is short of something
_PASSING = frozenset((
    0, 1037, 1038, 1040, 1041, 1042, 1043, 1047, 1053, 1077, 1078, 1079, 1080, 1105, 1129, 1135, *range(1152, 1162),
    1184, 1203, 1205, 1213, 1226, 1317, 1836, 1927, 3024, 3032, 3168, 3169, 4031, 9001, 9002,
    *range(2000, 2100),
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class DumpPosition:
    """Where a dump begins: `gtid_set` where it is given, else `file` and `position`."""

    file: str
    position: int
    gtid_set: str | None = None


@dataclass(slots=True)
class Dump:
    """A connection on which the server sends its log.  `checksum_bytes` end each event."""

    connection: pymysql.Connection[Any]
    checksum_bytes: int

    @property
    def socket(self) -> socket.socket:
        return _socket_of(self.connection)

    def close(self) -> None:
        """Without the goodbye of the protocol, which the server does not read during a dump."""
        self.connection._force_close()  # type: ignore[attr-defined]  # the stubs know the public names only


def connect(source: SourceSettings, answer_seconds: int = ANSWER_SECONDS) -> pymysql.Connection[Any]:
    """A connection for questions; raises ConfigError for refused access, SourceUnavailable else."""
    return _connected(pymysql.Connection, source, answer_seconds)


_C = TypeVar("_C", bound="pymysql.Connection[Any]")


def _connected(kind: Callable[..., _C], source: SourceSettings, answer_seconds: int = ANSWER_SECONDS) -> _C:
    address = source.address
    try:
        connection = kind(**_arguments(source) | {"read_timeout": answer_seconds})
    except (pymysql.err.MySQLError, OSError) as error:
        raise translated(error, f"{address.host}:{address.port}") from error
    if source.tls_mode not in ("disabled", "preferred") and not isinstance(_socket_of(connection), ssl.SSLSocket):
        connection.close()
        raise ConfigError(f"{address.host}:{address.port} does not speak TLS, and tls_mode is {source.tls_mode}")
    return connection


class DumpLink:
    """
    A connection that is going to be a dump: until it is, the server on it can be asked.

    What was found out of the server of `identity` while this is open holds for the dump: one that was restarted
    meanwhile, or took the place of another, is not the one that this connection leads to.
    """

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self._connection = _connected(_DumpConnection, source)
        try:
            self.identity = identity_of(self._connection)
            self._checksum_bytes = _agree_on_checksums(self._connection)
        except (pymysql.err.MySQLError, OSError) as error:
            self.close()
            raise translated(error, str(source.address)) from error

    def close(self) -> None:
        self._connection._force_close()  # type: ignore[attr-defined]  # the stubs know the public names only

    def begin(self, server_id: int, flavor: str, start: DumpPosition) -> Dump:
        """The server's log from `start` on; raises as `connect`, and PositionLost when it cannot be given."""
        by_gtids = start.gtid_set is not None
        self._connection.gtid_set = start.gtid_set or ""
        replica = _Replica(
            connection_settings=_arguments(self._source),
            server_id=server_id,
            blocking=True,
            resume_stream=True,
            log_file=None if by_gtids else start.file,
            log_pos=None if by_gtids else start.position,
            auto_position=start.gtid_set if flavor == "mariadb" or not by_gtids else _PLACEHOLDER,
            # python-mysql-replication ignores file and position when it knows of MariaDB
            is_mariadb=flavor == "mariadb" and by_gtids,
            report_slave=("meepo2-cdc", "", "", 0),
            slave_uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"meepo2-cdc:{server_id}")),
            slave_heartbeat=self._source.heartbeat_seconds,
            enable_logging=False,
            pymysql_wrapper=lambda **_: self._connection,
        )
        try:
            return Dump(replica.open(), self._checksum_bytes)
        except (pymysql.err.MySQLError, OSError) as error:
            raise translated(error, str(self._source.address)) from error


def _agree_on_checksums(connection: pymysql.Connection[Any]) -> int:
    """
    Bytes of the checksum of the dump's first events; behind these each file says what its events have.

    Said also where the server makes none now: to who says nothing it refuses its files that have some (MySQL
    sql/rpl_binlog_sender.cc, MariaDB sql/sql_repl.cc), and python-mysql-replication then says nothing.
    """
    now = variable(connection, "binlog_checksum")
    if now is not None:
        with connection.cursor() as cursor:
            cursor.execute("SET @master_binlog_checksum = %s", (now,))
    return 0 if now in (None, "NONE") else 4


def open_dump(source: SourceSettings, server_id: int, flavor: str, start: DumpPosition) -> Dump:
    """The log of whatever server the address leads to; raises as DumpLink does."""
    link = DumpLink(source)
    try:
        return link.begin(server_id, flavor, start)
    except Error:
        link.close()
        raise


def _socket_of(connection: pymysql.Connection[Any]) -> socket.socket:
    found: socket.socket = connection._sock  # type: ignore[attr-defined]  # the stubs know the public names only
    return found


_PLACEHOLDER = "00000000-0000-0000-0000-000000000001:1"


class _DumpConnection(pymysql.Connection):
    """
    Puts `gtid_set` into the dump command: python-mysql-replication cannot encode sets with tags, nor one that is empty.
    """

    gtid_set = ""

    def _write_bytes(self, data: bytes) -> None:
        if data[4] == COM_BINLOG_DUMP_GTID:
            gtids = encoded_gtid_set(MysqlGtidSet(self.gtid_set))
            command = data[4:_GTIDS_AT] + struct.pack("<I", len(gtids)) + gtids
            data = struct.pack("<I", len(command)) + command
        super()._write_bytes(data)  # type: ignore[misc]  # the stubs know the public names only


class _Replica(BinLogStreamReader):  # type: ignore[misc]
    """Registers and sends the dump command; everything behind that is ours."""

    def open(self) -> pymysql.Connection[Any]:
        self._BinLogStreamReader__connect_to_stream()
        connection: pymysql.Connection[Any] = self._stream_connection
        return connection


def identity_of(connection: pymysql.Connection[Any]) -> str:
    """server_uuid on MySQL; MariaDB has nothing better than its server_id."""
    return variable(connection, "server_uuid") or variable(connection, "server_id") or ""


def variable(connection: pymysql.Connection[Any], name: str) -> str | None:
    """A global variable, or None where the server has none of this name."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL VARIABLES LIKE %s", (name.replace("_", r"\_"),))
        row = cursor.fetchone()
    return None if row is None else str(row[1])


def _arguments(source: SourceSettings) -> dict[str, Any]:
    address = source.address
    return {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "connect_timeout": max(1, round(source.connect_timeout_seconds)),
        "read_timeout": ANSWER_SECONDS,  # of the handshake and of each question; the dump is read without PyMySQL
        "write_timeout": ANSWER_SECONDS,
        "charset": "utf8mb4",
        "autocommit": True,
        **tls_arguments(source),
    }


def translated(error: Exception, server: str) -> Error:
    """What an error of PyMySQL or of the dump means for the capture."""
    code, text = (*error.args, "", "")[:2] if isinstance(error, pymysql.err.MySQLError) else (0, str(error))
    if not isinstance(code, int):  # PyMySQL's own: a packet came that fits nowhere, and the connection is closed
        code, text = 0, code
    text = str(text) or type(error).__name__
    if code in _REFUSED or (code == ER_MASTER_FATAL_ERROR_READING_BINLOG and "denied" in text):
        return ConfigError(
            f"{server} refuses the capture: {text}",
            fix="Check user and password; the grants needed are printed by: meepo2-cdc check",
        )
    if code == ER_MASTER_FATAL_ERROR_READING_BINLOG:
        return _lost(text, server)
    if code == ER_MARIADB_SAME_SERVER_ID:
        return _same_server_id(text, server)
    is_tls = isinstance(error, ssl.SSLError) or "SSL" in text or "certificate" in text
    if is_tls and "EOF occurred" not in text:  # that is how an encrypted connection ends when the link is cut
        return ConfigError(f"the TLS connection to {server} failed: {text}", fix="See tls_mode and tls_ca in [source].")
    if code in _PASSING or is_tls:
        return SourceUnavailable(f"{server} does not answer: {text}")
    return Error(f"{server} answered with error {code}: {text}")


def _lost(text: str, server: str) -> Error:
    """Error 1236 is many things, told apart by its text only (MySQL sql/rpl_source.cc, MariaDB sql/sql_repl.cc)."""
    if "server_uuid/server_id" in text or "server_id" in text:
        return _same_server_id(text, server)
    if "event" in text.lower() and ("exceeded max_allowed_packet" in text or "corrupted" in text or "bogus" in text):
        return UnreadableData(f"{server} cannot read its own log: {text}")
    return PositionLost(
        f"{server} can no longer give what follows the checkpoint: {text}",
        fix="The log was purged, or this is another server.  " + WAYS_OUT,
    )


def _same_server_id(text: str, server: str) -> Error:
    return Fenced(
        f"another replica of {server} has the same server id: {text}",
        fix="Another instance of this capture runs, or source.server_id (MEEPO2_SOURCE_SERVER_ID) is not unique.",
    )
