"""
Records into documents: what a record names is read from the source as it is now, and written with the record's `seq`.

So old and repeated records do no harm: they lead to the present row.  What was read before and is written behind
another is kept out by the version, for as long as Elasticsearch knows the document or that it was deleted.  Whoever
was slower than that looks again: see `_refresh`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elasticsearch import NotFoundError

from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.keys import KeyMismatch, key_parts
from meepo2_cdc.replay.sink import Context, Rejected, TryAgain
from meepo2_connectors.elasticsearch_sync.bulk import Bulk, Failure, IndexGone, Item
from meepo2_connectors.elasticsearch_sync.client import NAME, connect, greet, translating
from meepo2_connectors.elasticsearch_sync.documents import Documents, Unusable
from meepo2_connectors.elasticsearch_sync.ids import HASHED, encoded
from meepo2_connectors.elasticsearch_sync.indexes import Indexes, IndexNames
from meepo2_connectors.elasticsearch_sync.pages import pages
from meepo2_connectors.elasticsearch_sync.settings import Settings
from meepo2_connectors.key_text import Key, decoded

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows

_READS = 3
"""How often rows are read again, when reading and writing them took too long."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It goes on while the machine sleeps, where there is such a clock."""

TableName = tuple[str, str]


class IndexingSink:
    """Writes the present rows, and deletes the documents of those that are gone."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._own = own
        self._open_rows = context.source_rows
        self._client = connect(own)
        names = IndexNames(own.index, context.prefix, own.index_suffix)
        self._indexes = Indexes(self._client, names, context.prefix, own.late_seconds)
        self._bulk = Bulk(self._client, own.bulk_records, own.bulk_bytes)
        self._documents: Documents
        self._rows: SourceRows

    def open(self) -> None:
        self._documents = Documents(self._own)
        greet(self._client)
        self._rows = self._open_rows()

    def apply(self, batch: Sequence[TableAction]) -> None:
        failures: list[Failure] = []
        with translating():
            for name, records in _by_table(batch).items():
                newest = {pk: max(of_key, key=lambda one: one.seq) for pk, of_key in records.items()}
                try:
                    failed = self._refresh(name, {pk: one.seq for pk, one in newest.items()})
                except KeyMismatch as error:
                    raise Rejected(str(error), _all_of(records, error.pks)) from error
                failures += [Failure(_all_of(records, [one.origin]), one.why, one.final) for one in failed]
            for one in _truncates(batch):
                failures += [Failure([one], failed.why, failed.final) for failed in self._truncate(one)]
        _raise_for(failures)

    def close(self) -> None:
        self._client.close()
        self._rows.close()

    def _refresh(self, name: TableName, seqs: Mapping[Key, int], *, mismatched_are_gone: bool = False) -> list[Failure]:
        """
        Documents become what their rows are.

        Another process, to which the keys went meanwhile, may have deleted a document so long ago that Elasticsearch
        forgot it, and what was read here before would put it back.  So whoever was slow reads again: what is gone
        is then deleted, as a delete takes documents of its own version too.
        """
        for _ in range(_READS):
            began = time.clock_gettime(_CLOCK)
            items, failures = self._items(name, seqs, mismatched_are_gone)
            failures += self._write(items)
            if time.clock_gettime(_CLOCK) - began < self._own.late_seconds:
                return failures
        raise TryAgain(f"reading rows of {'.'.join(name)} and writing them takes longer than late_seconds")

    def _write(self, items: Sequence[Item]) -> list[Failure]:
        try:
            return self._bulk.write(items)
        except IndexGone as error:
            self._indexes.forget(error.index)
            raise

    def _items(
        self, name: TableName, seqs: Mapping[Key, int], mismatched_are_gone: bool
    ) -> tuple[list[Item], list[Failure]]:
        index = self._indexes.of(*name)
        items: list[Item] = []
        failures: list[Failure] = []
        documents = self._read(name, list(seqs), mismatched_are_gone)
        for pk, seq in seqs.items():
            document = documents.get(pk)
            if isinstance(document, Unusable):
                failures.append(Failure(pk, str(document), final=False))
            else:
                items.append(Item(index, encoded(pk), seq, document, pk))
        return items, failures

    def _read(self, name: TableName, pks: list[Key], mismatched_are_gone: bool) -> dict[Key, bytes | Unusable | None]:
        """The documents of rows that there are; by the key's exact spelling, as ids tell spellings apart."""
        try:
            rows = self._rows.fetch(*name, pks)
        except KeyMismatch as error:
            if not mismatched_are_gone:
                raise
            wrong = set(error.pks)
            rows = self._rows.fetch(*name, [pk for pk in pks if pk not in wrong])
        table = self._rows.table(*name) if rows else None
        if table is None:
            return {}
        try:
            return {pk: self._document(table, name, pk, row) for pk, row in rows.items() if key_parts(table, row) == pk}
        except KeyError as error:
            raise TryAgain(f"{'.'.join(name)} was altered while its rows were read: {error}") from error

    def _document(self, table: Any, name: TableName, pk: Key, row: dict[str, Any]) -> bytes | Unusable | None:
        try:
            return self._documents.json(table, *name, pk, row)
        except Unusable as error:
            return error

    # -- truncates

    def _truncate(self, truncate: TableAction) -> list[Failure]:
        """
        Every document of a lower version is compared with the source, by the seq of the truncate.

        So a row that was inserted since is kept, be it read here or written meanwhile by somebody else.  Of a hashed
        key the row cannot be asked for; it goes, and if there is such a row, its own record is behind the truncate.
        """
        name = truncate.schema, truncate.table
        index = self._indexes.of(*name)
        failures: list[Failure] = []
        try:
            for ids in self._older(index, truncate.seq):
                pks = [pk for one in ids if (pk := decoded(one)) is not None]
                hashed = [Item(index, one, truncate.seq, None, one) for one in ids if one.startswith(HASHED)]
                failures += self._refresh(name, dict.fromkeys(pks, truncate.seq), mismatched_are_gone=True)
                failures += self._write(hashed)
        except NotFoundError as error:
            self._indexes.forget(index)
            raise TryAgain(f"{NAME} has no {index} any more, or forgot the search for its documents") from error
        return failures

    def _older(self, index: str, version: int) -> Iterator[list[str]]:
        """The ids of all documents that can be found with at most this version, some at a time."""
        for hits in pages(self._client, index):
            yield [one["_id"] for one in hits if one["_version"] <= version]


def _by_table(batch: Sequence[TableAction]) -> dict[TableName, dict[Key, list[TableAction]]]:
    """Of each table the keys to look at, each with the records that tell of it."""
    found: defaultdict[TableName, defaultdict[Key, list[TableAction]]] = defaultdict(lambda: defaultdict(list))
    for one in batch:
        if one.action is not Action.TRUNCATE:
            found[one.schema, one.table][one.pk].append(one)
    return {name: dict(records) for name, records in found.items()}


def _truncates(batch: Sequence[TableAction]) -> list[TableAction]:
    return [one for one in batch if one.action is Action.TRUNCATE]


def _all_of(records: Mapping[Key, list[TableAction]], pks: Iterable[Key]) -> list[TableAction]:
    return [one for pk in pks for one in records[pk]]


def _raise_for(failures: Sequence[Failure]) -> None:
    """Those that will never be taken first, for one reason at a time: the others come again at once."""
    if not failures:
        return
    final = [one for one in failures if one.final]
    why = (final or failures)[0].why
    records = [record for one in failures if one.final is bool(final) and one.why == why for record in one.origin]
    if final:
        raise Rejected(why, records)
    raise TryAgain(why, [record for one in failures for record in one.origin])
