"""
Records into rows in Redis: what a record names is read from the source as it is now, and written as it was read.

So old and repeated records do no harm: they lead to the present row.  Only what was read before and is written behind
another must be kept out, which `rows_in_redis` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.keys import KeyMismatch, key_parts
from meepo2_cdc.replay.sink import Context, Rejected, TryAgain
from meepo2_connectors.key_text import Key, decoded, encoded
from meepo2_connectors.redis_replicator.keys import RowNames
from meepo2_connectors.redis_replicator.rows_in_redis import RowsInRedis, Write
from meepo2_connectors.redis_replicator.settings import Settings
from meepo2_connectors.redis_replicator.values import as_hash, as_json
from meepo2_connectors.redis_target import connect, greet, translating

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows

_READS = 3
"""How often rows are read again, when that took longer than a guard lives."""

TableName = tuple[str, str]


class InvalidatingSink:
    """Removes the names of rows that changed; needs no source."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._redis = connect(own.url.get_secret_value(), own.timeout_seconds)
        self._target = RowsInRedis(self._redis, own.mode, own.expire_seconds, own.guard_seconds)
        self._names = RowNames(own.key, context.prefix if own.namespace is None else own.namespace)

    def open(self) -> None:
        greet(self._redis)

    def apply(self, batch: Sequence[TableAction]) -> None:
        with translating(self._redis):
            for (schema, table), seqs in _by_table(batch).items():
                prefix = self._names.prefix(schema, table)
                self._target.remove([prefix + encoded(pk) for pk in seqs])
            for one in _truncates(batch):
                for pks in self._held(one.schema, one.table):
                    prefix = self._names.prefix(one.schema, one.table)
                    self._target.remove([prefix + encoded(pk) for pk in pks])

    def close(self) -> None:
        self._redis.close()

    def _held(self, schema: str, table: str) -> Iterator[list[Key]]:
        """The keys of the table's rows in Redis, some at a time; what else has such a name is none of ours."""
        start = len(self._names.prefix(schema, table))
        for names in self._target.names(self._names.pattern(schema, table)):
            yield [pk for name in names if (pk := decoded(name[start:])) is not None]


class ReplicatingSink(InvalidatingSink):
    """Writes the present rows, and removes those that are gone."""

    def __init__(self, own: Settings, context: Context) -> None:
        super().__init__(own, context)
        self._values = as_json if own.mode == "json" else as_hash
        self._open_rows = context.source_rows
        self._rows: SourceRows

    def open(self) -> None:
        super().open()
        self._rows = self._open_rows()

    def apply(self, batch: Sequence[TableAction]) -> None:
        with translating(self._redis):
            for name, seqs in _by_table(batch).items():
                try:
                    self._refresh(name, seqs)
                except KeyMismatch as error:
                    raise Rejected(str(error), _named(batch, name, error.pks)) from error
            for one in _truncates(batch):
                self._truncate(one)

    def close(self) -> None:
        super().close()
        self._rows.close()

    def _truncate(self, truncate: TableAction) -> None:
        """
        Every row that Redis has is compared with the source, by the seq of the truncate.

        So a row that was inserted since is kept, be it read here or written meanwhile by somebody else.
        """
        for pks in self._held(truncate.schema, truncate.table):
            self._refresh((truncate.schema, truncate.table), dict.fromkeys(pks, truncate.seq), mismatched_are_gone=True)

    def _refresh(self, name: TableName, seqs: Mapping[Key, int], *, mismatched_are_gone: bool = False) -> None:
        prefix = self._names.prefix(*name)
        for _ in range(_READS):
            read_at = self._target.now()
            values = self._read(name, list(seqs), mismatched_are_gone)
            if self._target.write([Write(prefix + encoded(pk), seqs[pk], values.get(pk, ())) for pk in seqs], read_at):
                return
        raise TryAgain(f"reading rows of {'.'.join(name)} from the source takes longer than guard_seconds")

    def _read(self, name: TableName, pks: list[Key], mismatched_are_gone: bool) -> dict[Key, list[object]]:
        """The values of the rows that there are; by the key's exact spelling, as Redis tells spellings apart."""
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
            return {pk: self._values(table, row) for pk, row in rows.items() if key_parts(table, row) == pk}
        except KeyError as error:
            raise TryAgain(f"{'.'.join(name)} was altered while its rows were read: {error}") from error


def _by_table(batch: Sequence[TableAction]) -> dict[TableName, dict[Key, int]]:
    """Of each table the keys to look at, each with the highest seq that told of it."""
    found: defaultdict[TableName, dict[Key, int]] = defaultdict(dict)
    for one in batch:
        if one.action is not Action.TRUNCATE:
            seqs = found[one.schema, one.table]
            seqs[one.pk] = max(one.seq, seqs.get(one.pk, one.seq))
    return found


def _truncates(batch: Sequence[TableAction]) -> list[TableAction]:
    return [one for one in batch if one.action is Action.TRUNCATE]


def _named(batch: Sequence[TableAction], name: TableName, pks: Iterable[Key]) -> list[TableAction]:
    wrong = set(pks)
    return [one for one in batch if (one.schema, one.table) == name and one.pk in wrong]
