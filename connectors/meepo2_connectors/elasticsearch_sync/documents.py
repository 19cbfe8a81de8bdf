"""
Rows as documents, and documents as JSON.

Numbers and text stay what they are; dates and times become text as they do in keys (docs/types.md), which
Elasticsearch takes for dates.  Knows nothing of keys or requests.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.keys import key_part

if TYPE_CHECKING:
    from sqlalchemy import Column, Table

    from meepo2_connectors.elasticsearch_sync.settings import Settings
    from meepo2_connectors.key_text import Key

Document = Mapping[str, Any]
MakesDocument = Callable[[str, str, "Key", dict[str, Any]], Document | None]
_Convert = Callable[[Any], Any]
_PLAIN = frozenset((int, float, str, bytes, bool))


class Unusable(Exception):
    """No document can be made of a row, or no JSON of a document; says why without any value of it."""


class Documents:
    """Makes the JSON of rows; serves any number of threads."""

    def __init__(self, own: Settings) -> None:
        """Raises ConfigError where the function `document` cannot be had."""
        self._function = None if own.document is None else loaded(own.document)
        self._decimal: _Convert = float if own.decimals == "number" else lambda value: format(value, "f")
        self._as_objects = own.json_columns == "object"
        self._encode = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=self._other
        ).encode
        self._plans: dict[Table, Mapping[str, _Convert | None]] = {}

    def json(self, table: Table, schema: str, name: str, pk: Key, row: dict[str, Any]) -> bytes | None:
        """
        The document of a row; None where the function wants none.

        Raises Unusable for this row alone, KeyError when the row has a column that the table has not.
        """
        document = self._made(schema, name, pk, row) if self._function else self._as_it_is(table, row)
        if document is None:
            return None
        try:
            return self._encode(document).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Unusable(f"the document cannot be JSON: {_without_values(error)}") from error

    def _made(self, schema: str, name: str, pk: Key, row: dict[str, Any]) -> Document | None:
        assert self._function is not None  # noqa: S101 - json() asked
        try:
            document = self._function(schema, name, pk, row)
        except Exception as error:  # whatever a function of others raises concerns this row alone
            raise Unusable(f"the document function raised {type(error).__name__} {_place(error)}") from error
        if document is None or isinstance(document, Mapping):
            return document
        raise Unusable(f"the document function returned a {type(document).__name__}, not a dict or None")

    def _as_it_is(self, table: Table, row: Mapping[str, Any]) -> Document:
        plan = self._plans.get(table)
        if plan is None:
            plan = self._plans[table] = {column.name: self._conversion(column) for column in table.columns}
        document = {}
        for name, value in row.items():
            convert = plan[name]
            document[name] = value if convert is None or value is None else convert(value)
        return document

    def _conversion(self, column: Column[Any]) -> _Convert | None:
        kind = column.type
        if isinstance(kind, mysql.SET):
            return lambda value: value.split(",") if value else []
        if isinstance(kind, sql.JSON):
            return _meaning if self._as_objects else None
        if isinstance(kind, sql.Date | sql.DateTime):
            return lambda value: None if isinstance(value, str) else key_part(column, value)
        return lambda value: self._part(column, value)

    def _part(self, column: Column[Any], value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        return self._decimal(value) if isinstance(value, Decimal) else key_part(column, value)

    def _other(self, value: Any) -> Any:
        """What JSON has no form for, and a document may hold."""
        if isinstance(value, bytes | bytearray | memoryview):
            return b64encode(value).decode()
        if isinstance(value, Decimal):
            return self._decimal(value)
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, UUID):
            return str(value)
        raise TypeError(f"it holds a {type(value).__name__}")


def loaded(name: str) -> MakesDocument:
    """The function `module:name`."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"[elasticsearch_sync] document = {name!r} cannot be had: {error}",
            fix="Expected module:function, and the module where Python finds it (PYTHONPATH, or installed).",
        ) from error
    if not callable(function):
        raise ConfigError(f"[elasticsearch_sync] document = {name!r} is a {type(function).__name__}, not a function")
    found: MakesDocument = function
    return found


def _meaning(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text


def _place(error: BaseException) -> str:
    """Where it was raised; what it says may be of the row."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "" if at is None else f"in {at.tb_frame.f_code.co_filename}, line {at.tb_lineno}"


def _without_values(error: Exception) -> str:
    return str(error) if isinstance(error, TypeError) else type(error).__name__
