"""
The outbox: what a transaction changed, written into a table of the same database by the same transaction.

So it is there exactly when the transaction committed, whatever happens to this process, to Kafka or to the network; a
rollback, of a savepoint too, takes it back by itself.  `meepo2-cdc relay` moves it to Kafka.
"""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, String, Table, Text, exc
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.pending import Pending
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import Action, KeyPart

CHANGES_PER_ROW = 500
_LETTERS = {Action.WRITE: "w", Action.UPDATE: "u", Action.DELETE: "d"}
_ACTIONS = {letter: action for action, letter in _LETTERS.items()}


def outbox_table(name: str, metadata: MetaData | None = None) -> Table:
    """
    The table, `name` may have its schema in front; for a migration tool, give it your own `metadata`.

    An id is never given twice (SQLite: AUTOINCREMENT), so that the order of ids is the order of the changes of a row.
    """
    schema, _, bare = name.rpartition(".")
    return Table(
        bare,
        MetaData() if metadata is None else metadata,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
        Column("transaction_id", String(32), nullable=False),
        Column("flushed_at", BigInteger, nullable=False),
        Column("changes", Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
        schema=schema or None,
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


class Outbox:
    """Delivers by writing to the outbox table, once for each flush."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._insert = outbox_table(name).insert().inline()  # the new id is not asked for

    @property
    def destination(self) -> Hashable:
        return "outbox", self._name

    def record(self, _: Session, pending: Pending, connection: Connection, changes: Sequence[Change]) -> None:
        rows = [
            {"transaction_id": pending.id, "flushed_at": time.time_ns() // 1000, "changes": text}
            for text in _texts(changes)
        ]
        try:
            connection.execute(self._insert, rows if len(rows) > 1 else rows[0])
        except exc.DBAPIError as error:
            error.add_note(
                f"The outbox of meepo2-cdc is the table {self._name}, in the same database.  If it is missing:"
                " `meepo2-cdc relay --create`, or the statement in docs/sqlalchemy.md."
            )
            raise

    def narrowed(self, pending: Pending) -> None: ...

    def committing(self, pending: Pending) -> None: ...

    def committed(self, pending: Pending) -> None: ...

    def ended(self, pending: Pending) -> None: ...

    def close(self) -> None: ...


# -- the text of a row


def _texts(changes: Sequence[Change]) -> Iterator[str]:
    for start in range(0, len(changes), CHANGES_PER_ROW):
        yield text_of(changes[start : start + CHANGES_PER_ROW])


def text_of(changes: Sequence[Change]) -> str:
    """
    JSON: for each run of changes of one kind a list of action, schema, table and keys; bytes are {"hex": ...}.

        {"v":1,"changes":[["w","public","orders",[[1],[2]]],["u","public","seat",[[7,"a"]]]]}
    """
    runs = [
        [_LETTERS[action], schema, table, [one[3] for one in run]]
        for (action, schema, table), run in groupby(changes, key=itemgetter(0, 1, 2))
    ]
    return json.dumps({"v": 1, "changes": runs}, separators=(",", ":"), default=_hex)


def changes_in(text: str) -> list[Change]:
    """Raises UnreadableData for what `text_of` did not write."""
    try:
        found = json.loads(text)
        if found["v"] != 1:
            raise ValueError(f"version {found['v']}")
        return [
            Change(_ACTIONS[action], schema, table, tuple(map(_read, pk)))
            for action, schema, table, pks in found["changes"]
            for pk in pks
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UnreadableData(
            f"a row of the outbox cannot be read: {error}",
            fix="Was it written by a newer meepo2-cdc?  Then start its relay.",
        ) from error


def _hex(part: bytes) -> dict[str, str]:
    return {"hex": part.hex()}


def _read(part: Any) -> KeyPart:
    if isinstance(part, dict):
        return bytes.fromhex(part["hex"])
    if not isinstance(part, int | float | str):
        raise ValueError(f"a key part is {type(part).__name__}")
    return part
