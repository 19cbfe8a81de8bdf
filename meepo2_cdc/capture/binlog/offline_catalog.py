"""
What can be known of tables and characters from log files alone, and from a server only where it must be.

Files of servers with binlog_row_metadata = FULL say all that keys need.  The others are read with the definitions of
a server that has the tables, if one is set; its connection is made when the first question comes up.
"""

from __future__ import annotations

import codecs

from meepo2_cdc.capture.binlog import collations
from meepo2_cdc.capture.binlog.catalog import ServerCatalog
from meepo2_cdc.capture.binlog.charsets import Charsets
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder
from meepo2_cdc.capture.binlog.tables import TableMap
from meepo2_cdc.errors import ConfigError, UnreadableData

_FIX = "Set source.dsn (MEEPO2_SOURCE_DSN) to a server that has these tables, such as one restored from a backup."
_UNICODE = frozenset(("utf8mb4", "utf8mb3", "utf8", "ascii", "ucs2", "utf16", "utf16le", "utf32"))
# MySQL's latin1 is cp1252, and control characters where that has nothing (strings/ctype-latin1.cc)
_LATIN1 = "".join(
    bytes((n,)).decode("cp1252") if n not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(n) for n in range(256)
)


class OfflineCatalog:
    """The Catalog of log files, written by a server that may be gone.  `server` is that of source.dsn, if it is set."""

    def __init__(self, server: ServerCatalog | None, *, is_mariadb: bool) -> None:
        self._server = server
        self._charsets = Charsets(_no_server)
        self.is_mariadb = is_mariadb

    def definition_changed(self, schema: str, statement: str, began_s: int, ended_s: float) -> None:
        if self._server is not None:
            self._server.definition_changed(schema, statement, began_s, ended_s)

    def charset_of(self, collation: int) -> str | None:
        name = collations.charset_of(collation)
        if name is not None:
            return None if name == "binary" else name
        if self._server is None:
            raise UnreadableData(
                f"the log names collation number {collation}, which this version does not know", fix=_FIX
            )
        return self._server.charset_of(collation)

    def text_decoder(self, charset: str) -> TextDecoder:
        if charset in _UNICODE:
            return self._charsets.decoder(charset)
        if charset == "latin1":
            return lambda raw: codecs.charmap_decode(raw, "strict", _LATIN1)[0]
        if self._server is None:
            raise UnreadableData(f"a key is in the character set {charset}, which only a server can tell", fix=_FIX)
        return self._server.text_decoder(charset)

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        return self._asked_for(
            table, f"the key of {table.qualified_table} (binlog_row_metadata was not FULL)"
        ).key_columns(table)

    def native_type(self, table: TableMap, column: int) -> str | None:
        if not self.is_mariadb or table.columns[column].meta not in (4, 16):
            return None
        what = f"whether column {column + 1} of {table.qualified_table} is a UUID, an INET or plain bytes"
        return self._asked_for(table, what).native_type(table, column)

    def _asked_for(self, table: TableMap, what: str) -> ServerCatalog:
        if self._server is None:
            raise UnreadableData(f"the log files do not say {what}, and no server is set to ask", fix=_FIX)
        if self._server.is_mariadb != self.is_mariadb:
            kinds = ("MySQL", "MariaDB") if self.is_mariadb else ("MariaDB", "MySQL")
            raise ConfigError(
                f"source.dsn is a {kinds[0]} server, and the log files are those of a {kinds[1]} server", fix=_FIX
            )
        return self._server

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def _no_server(*_: object) -> list[dict[str, object]]:
    raise AssertionError("Unicode is converted without asking")
