"""
What the server says of itself and of its tables, beside its log.

One connection for questions; what is asked about character sets and tables is in charsets.py and definitions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import pymysql

from meepo2_cdc.capture.binlog.charsets import Charsets
from meepo2_cdc.capture.binlog.connection import translated
from meepo2_cdc.capture.binlog.definitions import Definitions
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder
from meepo2_cdc.capture.binlog.tables import TableMap
from meepo2_cdc.errors import UnreadableData


class ServerCatalog:
    """The catalog of one server; `connect` makes a connection for questions when one is needed."""

    def __init__(self, connect: Callable[[], pymysql.Connection[Any]], *, assume_present_keys: bool = False) -> None:
        self._connect = connect
        self._connection: pymysql.Connection[Any] | None = None
        self._collations: dict[int, str] = {}
        self._charsets = Charsets(self.ask)
        self._definitions = Definitions(self.ask, assume_present=assume_present_keys)

    def forget(self) -> None:
        """As if nothing had been asked about tables yet."""
        self._definitions.forget()

    def definition_changed(self, schema: str, statement: str, began_s: int, ended_s: float) -> None:
        """As Definitions.changed."""
        self._definitions.changed(schema, statement, began_s, ended_s)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows by column name.  A connection that went away is made anew once."""
        for last in (False, True):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
                    cursor.execute(query, values)
                    return list(cursor.fetchall())
            except (
                pymysql.err.OperationalError,
                pymysql.err.InternalError,
                pymysql.err.InterfaceError,
                OSError,
            ) as error:
                self._connection = None
                if last:
                    raise translated(error, "the source") from error
        raise AssertionError("unreachable")

    # -- character sets

    def charset_of(self, collation: int) -> str | None:
        if not self._collations:
            # MariaDB numbers a collation only together with a character set
            rows = self.ask(
                "SELECT ID AS id, CHARACTER_SET_NAME AS name FROM information_schema.COLLATIONS WHERE ID IS NOT NULL"
            )
            rows += self._mariadb_collations()
            self._collations = {int(row["id"]): str(row["name"]) for row in rows if row["id"] is not None}
        if collation not in self._collations:
            raise UnreadableData(f"the log names collation number {collation}, which the server does not list")
        name = self._collations[collation]
        return None if name == "binary" else name

    def _mariadb_collations(self) -> list[dict[str, Any]]:
        found = self.ask(
            "SELECT COUNT(*) AS n FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema'"
            " AND TABLE_NAME = 'COLLATION_CHARACTER_SET_APPLICABILITY' AND COLUMN_NAME = 'ID'"
        )
        if not found[0]["n"]:
            return []
        return self.ask(
            "SELECT ID AS id, CHARACTER_SET_NAME AS name FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        )

    def text_decoder(self, charset: str) -> TextDecoder:
        return self._charsets.decoder(charset)

    # -- tables

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        definition = self._definitions.fitting(table)
        return tuple(definition.columns[index].key for index in definition.key)

    def native_type(self, table: TableMap, column: int) -> str | None:
        if not self.is_mariadb or table.columns[column].meta not in (4, 16):
            return None
        return self._definitions.fitting(table).columns[column].key.native

    @cached_property
    def is_mariadb(self) -> bool:
        return "MariaDB" in str(self.ask("SELECT VERSION() AS v")[0]["v"])
