"""
What can be asked of a running capture by its control topic, as JSON: described in schemas/README.md.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records.snapshot import TableName

CHUNK_ROWS = 10_000
VERSION = 1


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


@dataclass(frozen=True, slots=True)
class Start:
    """Read the existing rows of tables."""

    tables: tuple[TableName, ...]
    where: str | None = None
    chunk_rows: int = CHUNK_ROWS
    rate: int | None = None
    id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait with a snapshot, or with all."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with it."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End it, or only some tables of it."""

    id: str | None = None
    tables: tuple[TableName, ...] = ()


Request = Start | Pause | Resume | Cancel
_KINDS: dict[str, type[Request]] = {"snapshot": Start, "pause": Pause, "resume": Resume, "cancel": Cancel}


def encoded(request: Request) -> bytes:
    kind = next(name for name, kind in _KINDS.items() if isinstance(request, kind))
    fields: dict[str, Any] = {"v": VERSION, "do": kind}
    for name in type(request).__slots__:
        value = getattr(request, name)
        if name == "tables":
            value = [one._asdict() for one in value]
        fields[name] = value.isoformat() if isinstance(value, datetime) else value
    return json.dumps(fields, ensure_ascii=False).encode()


def decoded(raw: bytes) -> Request:
    """Raises UnreadableData for what is no request of this version."""
    try:
        found = json.loads(raw)
        if not isinstance(found, dict) or found.get("v") != VERSION or found.get("do") not in _KINDS:
            raise ValueError("it is no request of version 1")
        return _request(found)
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableData(f"a record of the control topic cannot be read: {error}") from error


def _request(found: dict[str, Any]) -> Request:
    match found["do"]:
        case "pause":
            return Pause(_text(found.get("id")))
        case "resume":
            return Resume(_text(found.get("id")))
        case "cancel":
            return Cancel(_text(found.get("id")), _tables(found.get("tables") or ()))
        case _:
            return _start(found)


def _start(found: dict[str, Any]) -> Start:
    tables = _tables(found["tables"])
    if not tables:
        raise ValueError("it names no tables")
    rate = found.get("rate")
    return Start(
        tables,
        _text(found.get("where")),
        _positive(found.get("chunk_rows") or CHUNK_ROWS),
        None if rate is None else _positive(rate),
        _text(found["id"]) or _new_id(),
        datetime.fromisoformat(found["at"]).astimezone(UTC),
    )


def _tables(found: Iterable[dict[str, str]]) -> tuple[TableName, ...]:
    return tuple(dict.fromkeys(TableName(str(one["schema"]), str(one["table"])) for one in found))


def _text(found: Any) -> str | None:
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{found!r} is no text")
    return found


def _positive(found: Any) -> int:
    if not isinstance(found, int) or not 0 < found < 1 << 31:
        raise ValueError(f"{found!r} is no number from 1 on")
    return found
