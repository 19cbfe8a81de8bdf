"""
Records and tables as text: JSON lines for programs, aligned columns for people.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from meepo2_cdc.records import KeyPart
from meepo2_cdc.records.telling import iso, json_fields

if TYPE_CHECKING:
    from meepo2_cdc.kafka.reader import Record

_SAMPLE = 500  # rows looked at before the first is printed, to know how wide columns are


def print_lines(lines: Iterable[str]) -> None:
    """To stdout, one by one."""
    for line in lines:
        sys.stdout.write(line + "\n")


def as_json(value: Any) -> str:
    """One line; bytes are {"base64": ...}, times ISO 8601 in UTC."""
    return _encode(value)


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = json.JSONEncoder(ensure_ascii=False, default=_json_value).encode  # dumps() would make one per call


def record_json(record: Record) -> str:
    """The record's fields, then where it was read."""
    read_at = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return as_json({**json_fields(record.action), **read_at})


RECORD_COLUMNS = ("seq", "action", "table", "key", "committed_at", "read from")


def record_row(record: Record) -> tuple[str, ...]:
    """The record for people, in RECORD_COLUMNS."""
    action = record.action
    return (
        str(action.seq),
        action.action.value,
        printable(action.qualified_table),
        key_text(action.pk),
        iso(action.committed_at),
        f"{record.topic}[{record.partition}]@{record.offset}",
    )


def key_text(pk: Iterable[KeyPart]) -> str:
    """A key for people."""
    return ", ".join(map(_key_part, pk))


def _key_part(part: KeyPart) -> str:
    return f"0x{part.hex()}" if isinstance(part, bytes) else printable(str(part))


def printable(text: str) -> str:
    """The text; quoted where it would move the cursor or could be taken for two columns."""
    return text if text.isprintable() and text and "  " not in text else json.dumps(text, ensure_ascii=True)


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of columns two spaces apart; a late row that is too wide moves its own line only."""
    rows = iter(rows)
    first = [header, *islice(rows, _SAMPLE)]
    widths = [max(map(len, column)) for column in zip(*first, strict=True)]
    for row in chain(first, rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def fields(values: Mapping[str, Any]) -> Iterator[str]:
    """Lines of name and value for people; what is not known is a dash."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        yield f"{name.ljust(width)}  {_field(value)}"


def _field(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return iso(value)
    return ", ".join(map(printable, value)) if isinstance(value, tuple) else printable(str(value))
