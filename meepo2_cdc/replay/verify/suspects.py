"""
Keys that may be wrong in the target, in a file, so that a million of them are no matter of memory.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any, Literal

from meepo2_cdc.records import KeyPart
from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.sink import Difference

Key = tuple[KeyPart, ...]

Kind = Literal["missing", "extra", "different"]
BATCH_KEYS = 500


@dataclass(frozen=True, slots=True)
class Suspect:
    """
    A key whose row did not fit when it was last looked at.

    `seen` is the digest of the source's row then, None before the second look; `steady`, how often it was the same,
    and did not fit either, after all that was on its way to the target had arrived.
    """

    name: TableName
    pk: Key
    kind: Kind
    about: str = ""
    seen: str | None = None
    steady: int = 0

    def again(self, difference: Difference, seen: str, steady: int) -> Suspect:
        return replace(self, kind=difference.kind, about=difference.about, seen=seen, steady=steady)


class SuspectFile:
    """Put in one after the other, then read in that order any number of times; goes with its last reference."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed by `close`
        self.count = 0

    def add(self, one: Suspect) -> None:
        line = [*one.name, [_written(part) for part in one.pk], one.kind, one.about, one.seen, one.steady]
        self._file.write(json.dumps(line) + "\n")
        self.count += 1

    def __iter__(self) -> Iterator[Suspect]:
        self._file.seek(0)
        for line in self._file:
            schema, table, pk, *rest = json.loads(line)
            yield Suspect(TableName(schema, table), tuple(map(_read, pk)), *rest)

    def batches(self) -> Iterator[tuple[TableName, list[Suspect]]]:
        """Some at a time, those of one batch of one table."""
        for name, of_table in groupby(self, key=lambda one: one.name):
            while some := list(islice(of_table, BATCH_KEYS)):
                yield name, some

    def close(self) -> None:
        self._file.close()


def _written(part: KeyPart) -> Any:
    return [b64encode(part).decode()] if isinstance(part, bytes) else part


def _read(part: Any) -> KeyPart:
    found: KeyPart = b64decode(part[0]) if isinstance(part, list) else part
    return found
