"""
What Elasticsearch has of the source's rows, read back and compared with the documents that would be written now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elasticsearch import NotFoundError

from meepo2_cdc.replay.sink import Context, Difference, TryAgain
from meepo2_connectors.elasticsearch_sync.client import NAME, connect, greet, translating
from meepo2_connectors.elasticsearch_sync.documents import Documents, Unusable
from meepo2_connectors.elasticsearch_sync.ids import encoded
from meepo2_connectors.elasticsearch_sync.indexes import IndexNames
from meepo2_connectors.elasticsearch_sync.pages import pages
from meepo2_connectors.elasticsearch_sync.settings import Settings
from meepo2_connectors.key_text import Key, decoded

if TYPE_CHECKING:
    from sqlalchemy import Table

    from meepo2_cdc.replay.rows import SourceRows

Row = Mapping[str, Any]
_AT_ONCE = 1000
_WANTED = "docs._id,docs.found,docs._source,docs.error"


class IndexReplica:
    """
    Indexes are never made here.  Documents by their ids are those of now; which ids there are, those that can be
    found after a refresh.  Of an id that is a hash, nobody can tell whether the source has its key.
    """

    def __init__(self, own: Settings, context: Context) -> None:
        self._own = own
        self._client = connect(own)
        self._names = IndexNames(own.index, context.prefix, own.index_suffix)
        self._open_rows = context.source_rows
        self._documents: Documents
        self._rows: SourceRows

    def open(self) -> None:
        self._documents = Documents(self._own)
        greet(self._client)
        self._rows = self._open_rows()

    def close(self) -> None:
        self._client.close()
        self._rows.close()

    def place(self, schema: str, table: str) -> str:
        return self._names.index(schema, table)

    def left_out(self, schema: str, table: str) -> str:
        return ""

    def differing(self, schema: str, table: str, rows: Mapping[Key, Row | None]) -> dict[Key, Difference]:
        definition = self._rows.table(schema, table)
        index = self._names.index(schema, table)
        pks = list(rows)
        differing = {}
        for begin in range(0, len(pks), _AT_ONCE):
            some = pks[begin : begin + _AT_ONCE]
            for pk, held in zip(some, self._held(index, [encoded(pk) for pk in some]), strict=True):
                difference = self._difference(definition, (schema, table), pk, rows[pk], held)
                if difference is not None:
                    differing[pk] = difference
        return differing

    def keys(self, schema: str, table: str) -> Iterator[list[Key]]:
        index = self._names.index(schema, table)
        with translating():
            try:
                for hits in pages(self._client, index):
                    yield [pk for one in hits if (pk := decoded(one["_id"])) is not None]
            except NotFoundError:
                return

    def _held(self, index: str, ids: Sequence[str]) -> list[Any]:
        """The document of each id, None where there is none."""
        with translating():
            answer = self._client.options(ignore_status=404).mget(index=index, ids=ids, filter_path=_WANTED)
        if answer.meta.status == 404:
            return [None] * len(ids)
        docs: list[Mapping[str, Any]] = answer.body["docs"]
        troubled = next((one["error"] for one in docs if "error" in one), None)
        if troubled is not None and troubled.get("type") != "index_not_found_exception":
            raise TryAgain(f"{NAME}: {troubled.get('reason') or troubled.get('type')}")
        return [one["_source"] if one.get("found") else None for one in docs]

    def _difference(
        self, table: Table | None, name: tuple[str, str], pk: Key, row: Row | None, held: Any
    ) -> Difference | None:
        if row is None:
            return None if held is None else Difference("extra")
        if table is None:
            raise TryAgain(f"{'.'.join(name)} was dropped while its rows were compared")
        try:
            wanted = self._documents.json(table, *name, pk, dict(row))
        except Unusable as error:
            return Difference("missing" if held is None else "different", str(error))
        except KeyError as error:
            raise TryAgain(f"{'.'.join(name)} was altered while its rows were compared: {error}") from error
        if wanted is None or held is None:
            return None if wanted is held else Difference("extra" if wanted is None else "missing")
        return _compared(json.loads(wanted), held)


def _compared(wanted: Any, held: Any) -> Difference | None:
    if wanted == held:
        return None
    unlike = sorted(name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name))
    return Difference("different", f"fields {', '.join(unlike)}")
