"""
Bulk requests, and what becomes of each of their items.

Every item carries the `seq` of its record as an external version.  A document is written where Elasticsearch has none,
or one of a lower version; a delete also takes one of its own version.  That another one is there already (409) is what
a repetition looks like, and no failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.elasticsearch_sync.client import NAME, NOT_NOW, refusal

_quoted = json.JSONEncoder(ensure_ascii=False).encode

_CONFLICT = 409
_TOO_LARGE = 413
_WANTED = "errors,items.*.status,items.*.error.type,items.*.error.reason"
_MOST_CHARACTERS = 300
# Reasons go on with where it was, and with values of the document.
_PLACE = re.compile(r"^(\[\d+:\d+\] )+")
_VALUES = re.compile(r" in document with id| Preview of field's value|\s+at \[Source|, all of which| The prefix of")


@dataclass(frozen=True, slots=True)
class Item:
    """A document to write, or without `document` one to delete; `origin` is the sink's own."""

    index: str
    id: str
    version: int
    document: bytes | None
    origin: Any

    def line(self) -> bytes:
        action, kind = ("delete", "external_gte") if self.document is None else ("index", "external")
        target = f'"_index":{_quoted(self.index)},"_id":{_quoted(self.id)}'
        head = f'{{"{action}":{{{target},"version":{self.version},"version_type":"{kind}"}}}}'.encode()
        return head if self.document is None else head + b"\n" + self.document


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed by itself: `final` when it will for ever."""

    origin: Any
    why: str
    final: bool


class IndexGone(TryAgain):
    """An index is not there, and is not made by itself."""

    def __init__(self, index: str) -> None:
        super().__init__(f"{NAME}: the index {index} was removed; it is made again")
        self.index = index


class Bulk:
    """Sends items, some at a time; serves any number of threads."""

    def __init__(self, client: Elasticsearch, most_records: int, most_bytes: int) -> None:
        self._client = client
        self._most_records = most_records
        self._most_bytes = most_bytes

    def write(self, items: Sequence[Item]) -> list[Failure]:
        """
        Those that failed by themselves; the others are durable.

        Raises TryAgain when Elasticsearch takes nothing now, ConfigError for what a person must mend, or ApiError.
        """
        failures: list[Failure] = []
        for some in self._requests(items):
            failures += self._send(some)
        return failures

    def _requests(self, items: Sequence[Item]) -> Iterator[list[tuple[Item, bytes]]]:
        some: list[tuple[Item, bytes]] = []
        size = 0
        for item in items:
            line = item.line()
            if some and (len(some) >= self._most_records or size + len(line) > self._most_bytes):
                yield some
                some, size = [], 0
            some.append((item, line))
            size += len(line) + 1
        if some:
            yield some

    def _send(self, some: list[tuple[Item, bytes]]) -> list[Failure]:
        operations: Any = [line for _, line in some]
        try:
            answer = self._client.bulk(operations=operations, filter_path=_WANTED)
        except ApiError as error:
            if error.meta.status != _TOO_LARGE:
                raise
            return self._send_halves(some)
        if not answer["errors"]:
            return []
        outcomes = (next(iter(one.values())) for one in answer["items"])
        found = (_failure(item, outcome) for (item, _), outcome in zip(some, outcomes, strict=True))
        return [one for one in found if one is not None]

    def _send_halves(self, some: list[tuple[Item, bytes]]) -> list[Failure]:
        """A proxy before Elasticsearch, or Elasticsearch itself, takes less in one request."""
        if len(some) == 1:
            ((item, line),) = some
            return [Failure(item.origin, f"{NAME} takes no document of {len(line)} bytes", final=True)]
        middle = len(some) // 2
        return self._send(some[:middle]) + self._send(some[middle:])


def _failure(item: Item, outcome: Mapping[str, Any]) -> Failure | None:
    """None when it is done, also by another one; raises what concerns all items."""
    status, error = outcome["status"], outcome.get("error")
    if error is None or status == _CONFLICT:
        return None
    kind, why = error["type"], f"{item.index}: {_reason(error)}"
    if kind == "index_not_found_exception":
        raise IndexGone(item.index)
    if kind in ("security_exception", "invalid_index_name_exception"):
        raise refusal(why) if status in (401, 403) else ConfigError(f"{NAME} refuses {why}")
    if status in NOT_NOW or kind in ("cluster_block_exception", "index_closed_exception"):
        raise TryAgain(f"{NAME}: {why}")
    return Failure(item.origin, f"{NAME} refuses the document: {why}", final=status < 500)


def _reason(error: Mapping[str, Any]) -> str:
    """As Elasticsearch gives it, without values of the document, and the same for all documents that share it."""
    reason = _PLACE.sub("", str(error.get("reason")))
    return f"{error['type']}: {_VALUES.split(reason)[0][:_MOST_CHARACTERS]}"
