"""
What Redis has of the source's rows, read back and compared with what would be written now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redis import exceptions

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import Context, Difference, TryAgain
from meepo2_connectors.key_text import Key, decoded, encoded
from meepo2_connectors.redis_replicator.keys import RowNames
from meepo2_connectors.redis_replicator.rows_in_redis import RowsInRedis
from meepo2_connectors.redis_replicator.settings import Settings
from meepo2_connectors.redis_replicator.values import as_hash, as_json
from meepo2_connectors.redis_target import connect, greet, translating

if TYPE_CHECKING:
    from sqlalchemy import Table

    from meepo2_cdc.replay.rows import SourceRows

Row = Mapping[str, Any]
_AT_ONCE = 500


class RedisReplica:
    """Of rows that expire, an absent one is as right as one that is there."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._own = own
        self._redis = connect(own.url.get_secret_value(), own.timeout_seconds)
        self._held = RowsInRedis(self._redis, own.mode, own.expire_seconds, own.guard_seconds)
        self._names = RowNames(own.key, context.prefix if own.namespace is None else own.namespace)
        self._wanted = _wanted_json if own.mode == "json" else _wanted_hash
        self._open_rows = context.source_rows
        self._rows: SourceRows

    def open(self) -> None:
        if self._own.mode == "invalidate":
            raise ConfigError("[redis_replicator] mode is invalidate: it keeps no rows that could be compared")
        greet(self._redis)
        self._rows = self._open_rows()

    def close(self) -> None:
        self._redis.close()
        self._rows.close()

    def place(self, schema: str, table: str) -> str:
        return self._names.prefix(schema, table)

    def left_out(self, schema: str, table: str) -> str:
        return ""

    def differing(self, schema: str, table: str, rows: Mapping[Key, Row | None]) -> dict[Key, Difference]:
        definition = self._rows.table(schema, table)
        prefix = self._names.prefix(schema, table)
        pks = list(rows)
        found = self._read([prefix + encoded(pk) for pk in pks])
        differing = {}
        for pk, held in zip(pks, found, strict=True):
            difference = self._difference(definition, rows[pk], held)
            if difference is not None:
                differing[pk] = difference
        return differing

    def keys(self, schema: str, table: str) -> Iterator[list[Key]]:
        start = len(self._names.prefix(schema, table))
        with translating(self._redis):
            for names in self._held.names(self._names.pattern(schema, table)):
                yield [pk for name in names if (pk := decoded(name[start:])) is not None]

    def _read(self, names: Sequence[str]) -> list[Any]:
        """What is under each name: nothing, a value, or the error of one of another kind."""
        found: list[Any] = []
        with translating(self._redis), self._redis.pipeline(transaction=False) as pipeline:
            for begin in range(0, len(names), _AT_ONCE):
                for name in names[begin : begin + _AT_ONCE]:
                    _ = pipeline.get(name) if self._own.mode == "json" else pipeline.hgetall(name)
                answers = pipeline.execute(raise_on_error=False)
                for one in answers:
                    if isinstance(one, Exception) and not _is_of_another_kind(one):
                        raise one
                found += answers
        return found

    def _difference(self, table: Table | None, row: Row | None, held: Any) -> Difference | None:
        if row is None:
            return Difference("extra") if held else None
        if isinstance(held, Exception):
            return Difference("different", f"it is not {'a string' if self._own.mode == 'json' else 'a hash'}")
        if not held:
            return None if self._own.expire_seconds is not None else Difference("missing")
        return self._compared(table, row, held)

    def _compared(self, table: Table | None, row: Row, held: Any) -> Difference | None:
        if table is None:
            raise TryAgain("the table was dropped while its rows were compared")
        try:
            wanted = self._wanted(table, row)
        except KeyError as error:
            raise TryAgain(f"{table.fullname} was altered while its rows were compared: {error}") from error
        if wanted == held:
            return None
        if isinstance(wanted, bytes):
            return Difference("different")
        unlike = [name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name)]
        return Difference("different", f"fields {', '.join(sorted(one.decode(errors='replace') for one in unlike))}")


def _is_of_another_kind(error: Exception) -> bool:
    return isinstance(error, exceptions.ResponseError) and "WRONGTYPE" in str(error)


def _wanted_hash(table: Table, row: Row) -> dict[bytes, bytes]:
    fields = as_hash(table, row)
    return {_bytes(name): _bytes(value) for name, value in zip(fields[::2], fields[1::2], strict=True)}


def _wanted_json(table: Table, row: Row) -> bytes:
    return _bytes(as_json(table, row)[0])


def _bytes(value: Any) -> bytes:
    """As the client sends it."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else repr(value)).encode()
