"""
The golden pairs of `schemas/`, and the JSON form they share with `meepo2-cdc replay --json`.

Knows the released files; writes none of them.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """One record as JSON and as bytes; `record` is what lies in its schema's folder, `table_action` say."""

    record: str
    version: int
    json_file: Path

    @property
    def bin_file(self) -> Path:
        return self.json_file.with_suffix(".bin")

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON file's own fields, not yet Avro's."""
        loaded: dict[str, Any] = json.loads(self.json_file.read_text(encoding="utf-8"))
        return loaded

    @property
    def raw(self) -> bytes:
        return self.bin_file.read_bytes()

    def __str__(self) -> str:
        return f"{self.record}/{self.json_file.stem}"


def released() -> list[tuple[str, int]]:
    """Every record and version that has a schema file."""
    return sorted((file.parent.name, int(file.stem[1:])) for file in SCHEMAS.glob("*/v*.avsc"))


def pairs(record: str = "*") -> list[Pair]:
    """The golden pairs of a record, or of all."""
    found = sorted(SCHEMAS.glob(f"{record}/golden/v*.json"))
    return [Pair(file.parts[-3], int(file.stem.split("-")[0][1:]), file) for file in found]


def to_json(value: Any) -> Any:
    """A decoded record as JSON has it: bytes as {"base64": ...}, times in ISO 8601, microseconds and Z."""
    match value:
        case Enum():
            return value.value
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case Mapping():
            return {name: to_json(part) for name, part in value.items()}
        case list() | tuple():
            return [to_json(part) for part in value]
        case _:
            return value


def from_json(value: Any, times: bool = True) -> Any:
    """
    The record that `to_json` shows; a field is a time when its name ends in `_at`.

    Without `times` it is the microseconds that Avro writes.
    """
    match value:
        case {"base64": text, **rest} if not rest:
            return base64.b64decode(text)
        case Mapping():
            return {
                name: _time(part, times) if name.endswith("_at") else from_json(part, times)
                for name, part in value.items()
            }
        case list():
            return [from_json(part, times) for part in value]
        case _:
            return value


def _time(text: str | None, as_time: bool) -> datetime | int | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if as_time else (time - EPOCH) // timedelta(microseconds=1)


def exactly(value: Any) -> str:
    """A form in which 1 and 1.0, or 0.0 and -0.0, differ, as in Avro and unlike Python's `==`."""
    return json.dumps(value, sort_keys=True)
