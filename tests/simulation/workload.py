"""
What clients do to the tables: every kind of transaction that reaches a log, at random.

Keys are few, so that each has a long history.  Rows of a prepared XA transaction are locked until its decision, as
they are on a server.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.simulation import history as h
from tests.simulation.history import Images, Statement, Table, Txn, Value, Values, Xid

PARTITIONS = 2
KEYS = 9
LARGE = (12, 30)
_WORDS = ("a", "b", "\u00e9\u00e9", "\U0001f40e", "x" * 30)

WORD = Table("shop", "word", (("n", h.INT), ("text", h.TEXT), ("lang", h.TEXT)), (1, 0))
AUDIT = Table("shop", "audit", (("id", h.INT), ("what", h.TEXT)), (0,), captured=False)
CAPTURED = ("shop.*", "!shop.audit")

Key = tuple[Value, ...]


def item(extra_columns: int) -> Table:
    extra = tuple((f"extra{n}", h.INT) for n in range(extra_columns))
    return Table("shop", "item", (("id", h.INT), ("note", h.TEXT), *extra), (0,))


def mix(dice: Random, favoured: frozenset[str]) -> dict[str, float]:
    """How often each kind of transaction comes, other in each world."""
    usual = {
        "small": 10, "large": 2, "savepoint": 2, "filtered": 2, "rollback": 1, "xa": 3, "one phase": 1, "decide": 2,
        "ddl": 1, "truncate": 0.5,
    }  # fmt: skip
    mixed = {kind: much * (4 if kind in favoured else dice.choice((0, 1, 1, 3))) for kind, much in usual.items()}
    return mixed | {"small": 10, "decide": 2 * dice.choice((0.3, 1, 3))}


class Prepared(NamedTuple):
    """An XA transaction that waits for its decision."""

    number: int
    statements: list[Statement]
    keys: frozenset[tuple[str, Key]]


class Snapshot(NamedTuple):
    rows: dict[str, set[Key]]
    prepared: dict[Xid, Prepared]
    extra_columns: int


class Workload:
    """
    Makes transactions and keeps the tables as they are behind them.  `may_commit` says whether the XA transaction with
    that number in the history may be committed: one that was prepared before the capture began cannot be read.
    """

    def __init__(self, dice: Random, chances: dict[str, float]) -> None:
        self._dice = dice
        self._kinds, self._weights = list(chances), list(chances.values())
        self.rows: dict[str, set[Key]] = {"shop.item": set(), "shop.word": set(), "shop.audit": set()}
        self.prepared: dict[Xid, Prepared] = {}
        self._extra_columns = 0
        self._locked: set[tuple[str, Key]] = set()
        self._xids = 0

    def snapshot(self) -> Snapshot:
        return Snapshot({n: set(keys) for n, keys in self.rows.items()}, dict(self.prepared), self._extra_columns)

    def restore(self, past: Snapshot) -> None:
        self.rows = {name: set(keys) for name, keys in past.rows.items()}
        self.prepared, self._extra_columns = dict(past.prepared), past.extra_columns
        self._locked = {key for one in self.prepared.values() for key in one.keys}

    def next(self, number: int, earliest_readable: int | None) -> Txn | None:
        """The next transaction, which will have this number in the history; None when nothing came of it."""
        kind = self._dice.choices(self._kinds, self._weights)[0]
        if kind == "decide":
            return self._decide(earliest_readable)
        if kind in ("ddl", "truncate"):
            return self._definition(truncate=kind == "truncate")
        if kind in ("xa", "one phase"):
            return self._xa(number, one_phase=kind == "one phase")
        statements = self._statements(kind)
        if kind == "rollback" or not statements:
            return None
        for one in statements:
            self._apply(one)
        items: list[Statement | str] = list(statements)
        if kind == "savepoint":
            items.insert(self._dice.randrange(len(items) + 1), "SAVEPOINT `a`")
        return Txn(h.COMMIT, items, [told for one in statements for told in one.told()])

    # -- statements

    def _statements(self, kind: str) -> list[Statement]:
        dice = self._dice
        if kind == "filtered":
            return [self._insert(AUDIT, dice.randint(1, 3))]
        if kind == "large":
            return [self._insert(item(self._extra_columns), dice.randint(*LARGE))]
        taken: set[tuple[str, Key]] = set(self._locked)
        made = [self._small(taken) for _ in range(dice.choice((1, 1, 2, 3)))]
        return [one for one in made if one is not None]

    def _insert(self, table: Table, count: int) -> Statement:
        """Rows with keys that no other statement uses."""
        taken = self.rows[table.qualified]
        first = 1 + max([999, *(int(str(key[0])) for key in taken)])
        return Statement(table, "write", [(self._values(table, (first + n,)),) for n in range(count)])

    def _small(self, taken: set[tuple[str, Key]]) -> Statement | None:
        """One to three rows; no row twice in one transaction, so that order within it is not a matter of luck."""
        dice = self._dice
        table = dice.choice((item(self._extra_columns), WORD, WORD, AUDIT))
        action = dice.choice(("write", "write", "update", "update", "delete", "rekey"))
        changes = [one for _ in range(dice.choice((1, 1, 2, 3))) if (one := self._change(table, action, taken))]
        return Statement(table, "update" if action == "rekey" else action, changes) if changes else None

    def _change(self, table: Table, action: str, taken: set[tuple[str, Key]]) -> Images | None:
        name = table.qualified
        there = sorted(key for key in self.rows[name] if (name, key) not in taken)
        free = [key for key in _keys(table) if (name, key) not in taken and key not in self.rows[name]]
        if (action in ("write", "rekey") and not free) or (action != "write" and not there):
            return None
        old = None if action == "write" else self._dice.choice(there)
        new = self._dice.choice(free) if action in ("write", "rekey") else old
        taken |= {(name, key) for key in (old, new) if key is not None}
        images = [self._values(table, key) for key in dict.fromkeys((old, new)) if key is not None]
        return (images[0], self._values(table, new)) if action == "update" and new is not None else tuple(images)

    def _values(self, table: Table, key: Key) -> Values:
        values: list[Value] = []
        for index, (_, kind) in enumerate(table.columns):
            if index in table.key:
                values.append(key[table.key.index(index)])
            elif self._dice.random() < 0.3:
                values.append(None)
            else:
                values.append(index if kind == h.INT else self._dice.choice(_WORDS))
        return tuple(values)

    def _apply(self, statement: Statement) -> None:
        keys, table = self.rows[statement.table.qualified], statement.table
        for change in statement.changes:
            if statement.action != "write":
                keys.discard(table.pk(change[0]))
            if statement.action != "delete":
                keys.add(table.pk(change[-1]))

    # -- definitions, XA

    def _definition(self, *, truncate: bool) -> Txn | None:
        table = self._dice.choice((item(self._extra_columns), WORD))
        if any(name == table.qualified for name, _ in self._locked):
            return None  # the prepared transaction holds the table's metadata lock
        if truncate:
            self.rows[table.qualified].clear()
            told = (("truncate", table.qualified, ()),) * PARTITIONS
            return Txn(h.QUERY, [f"TRUNCATE TABLE {table.name}"], [told])
        if table is WORD:
            return Txn(h.QUERY, ["ALTER TABLE word COMMENT = 'changed'"])
        self._extra_columns = (self._extra_columns + 1) % 4
        return Txn(h.QUERY, ["ALTER TABLE `item` ADD COLUMN ..."])

    def _xa(self, number: int, *, one_phase: bool) -> Txn | None:
        statements = self._statements("small")
        if not statements:
            return None
        self._xids += 1
        xid = f"xa{self._xids}"
        if one_phase:
            for one in statements:
                self._apply(one)
            return Txn(h.ONE_PHASE, list(statements), [told for one in statements for told in one.told()], xid)
        keys = frozenset((s.table.qualified, s.table.pk(image)) for s in statements for c in s.changes for image in c)
        self.prepared[xid] = Prepared(number, statements, keys)
        self._locked |= keys
        return Txn(h.PREPARE, list(statements), xid=xid)

    def _decide(self, earliest_readable: int | None) -> Txn | None:
        if not self.prepared:
            return None
        xid = self._dice.choice(list(self.prepared))
        prepared = self.prepared.pop(xid)
        self._locked -= prepared.keys
        readable = earliest_readable is not None and prepared.number >= earliest_readable
        if not readable or self._dice.random() < 0.3:
            return Txn(h.XA_ROLLBACK, xid=xid)
        for one in prepared.statements:
            self._apply(one)
        return Txn(h.XA_COMMIT, told=[told for one in prepared.statements for told in one.told()], xid=xid)


def _keys(table: Table) -> list[Key]:
    if table.name == "word":
        return [(_WORDS[n % 3], n) for n in range(KEYS)]
    return [(n - 2,) for n in range(KEYS)]
