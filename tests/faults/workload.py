"""
A mixed load on several tables, from four connections, out of one seed.

Rows are written, changed, given other keys and deleted, by ones and by many; transactions are committed, rolled back as
a whole or to a savepoint, or distributed (XA); tables are altered, truncated and made meanwhile.  What a statement
fails for (a deadlock, a key that is taken) is part of the load: the transaction is rolled back.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pymysql

from tests.scenes import Scene

CONNECTIONS = 4
TABLES = ("number", "word", "pair")
ALTERED_COLUMNS = ("c0", "c1", "c2")
BULK_ROWS = 60_000
PAUSE_SECONDS = 0.04
# a key that is taken, a lock that was not had, a deadlock; a column or an index that is there, and one that is not
_EXPECTED_ERRORS = (1062, 1205, 1213, 1060, 1061, 1091)
_XA_ROLLED_BACK = (1399, 1402, 1613, 1614)
_LOST = (0, 1053, 1317, 1927, 2003, 2006, 2013, 2014)  # the server, or the connection to it
_KEYS = 400
_REPLACED = 1500

Cursor = Any


def prepare(scene: Scene) -> None:
    """The tables; the key of the last has its columns in another order than the table."""
    scene.run(
        "CREATE TABLE number (id BIGINT PRIMARY KEY, n INT, pad VARCHAR(80))",
        "CREATE TABLE word (id VARCHAR(40) PRIMARY KEY, n INT)",
        "CREATE TABLE pair (a INT, b VARCHAR(20), n INT, PRIMARY KEY (b, a))",
        "CREATE TABLE bulk (id INT PRIMARY KEY, pad VARCHAR(20))",
    )


def insert_bulk(scene: Scene, first: int, rows: int = BULK_ROWS) -> None:
    """One INSERT ... SELECT whose rows do not fit into one Kafka transaction."""
    digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5)"
    tens = " UNION ".join(f"SELECT {n}" + (" d" if n == 0 else "") for n in range(10))
    scene.run(
        f"INSERT INTO bulk SELECT {first} + a.d * 10000 + b.d * 1000 + c.d * 100 + d.d * 10 + e.d, 'x'"
        f" FROM {digits} a, ({tens}) b, ({tens}) c, ({tens}) d, ({tens}) e"
        f" LIMIT {rows}"
    )


class Load:
    """
    Runs from `start` to `stop`; `stop` raises what a connection ended by.

    Each connection rests for `pause_seconds` behind a transaction.  With `persistent` a server that is away is tried
    again.  With `only_rows` nothing happens to tables, for which the capture would have to ask Kafka.
    """

    def __init__(
        self,
        scene: Scene,
        seed: int,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        persistent: bool = False,
        only_rows: bool = False,
    ) -> None:
        self._scene = scene
        self._pause_seconds = pause_seconds
        self._persistent = persistent
        self._kinds = {kind: weight for kind, weight in _KINDS.items() if not only_rows or kind not in _OF_TABLES}
        self._ended = threading.Event()
        self._failures: list[BaseException] = []
        self.done: Counter[str] = Counter()
        self._numbers = count()
        self._threads = [threading.Thread(target=self._run, args=(seed * 100 + n,)) for n in range(CONNECTIONS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        _decide_the_prepared(self._scene, f"{self._scene.database}.")
        if self._failures:
            raise self._failures[0]

    @property
    def transactions(self) -> int:
        return self.done.total()

    def _run(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - a load, not a secret
        try:
            while not self._ended.is_set():
                self._work_until_lost(dice, f"{self._scene.database}.{seed}.")
        except BaseException as error:  # noqa: BLE001 - told to the test by `stop`
            self._failures.append(error)

    def _work_until_lost(self, dice: random.Random, name: str) -> None:
        # an ALTER among row locks is a deadlock that the server does not see, and ends after 50 s by default
        patience = "SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1"
        try:
            _decide_the_prepared(self._scene, name)
            with self._scene.server.connect(self._scene.database, init_command=patience) as connection:
                connection.autocommit(False)
                while not self._ended.is_set():
                    kind = dice.choices(list(self._kinds), list(self._kinds.values()))[0]
                    with _forgiven(connection):
                        kind(connection, dice, f"{name}{next(self._numbers)}")
                        self.done[kind.__name__.strip("_")] += 1
                    self._ended.wait(self._pause_seconds)
        except pymysql.err.MySQLError as error:
            if not self._persistent or error.args[0] not in _LOST:
                raise
            self._ended.wait(self._pause_seconds)


@contextmanager
def _forgiven(connection: pymysql.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except pymysql.err.MySQLError as error:
        if error.args[0] not in _EXPECTED_ERRORS:
            raise
        connection.rollback()


def _transaction(connection: pymysql.Connection[Any], dice: random.Random, name: str) -> None:
    with connection.cursor() as cursor:
        for _ in range(dice.choice((1, 1, 2, 5, 12))):
            _pick(dice)(cursor, dice)
    if dice.random() < 0.1:
        connection.rollback()
    else:
        connection.commit()


def _distributed(connection: pymysql.Connection[Any], dice: random.Random, name: str) -> None:
    """Prepared and then decided, mostly; what a lost connection leaves prepared is decided by the next."""
    with connection.cursor() as cursor:
        cursor.execute(f"XA START '{name}'")
        try:
            for _ in range(dice.choice((1, 2, 5))):
                _pick(dice)(cursor, dice)
        except pymysql.err.MySQLError as error:
            if error.args[0] in _EXPECTED_ERRORS:
                _end_by_rollback(cursor, name)
            raise
        cursor.execute(f"XA END '{name}'")
        if dice.random() < 0.2:
            cursor.execute(f"XA COMMIT '{name}' ONE PHASE")
            return
        cursor.execute(f"XA PREPARE '{name}'")
        time.sleep(dice.choice((0, 0, 0.05, 0.3)))
        cursor.execute(f"XA {dice.choice(('COMMIT', 'COMMIT', 'ROLLBACK'))} '{name}'")


def _end_by_rollback(cursor: Cursor, name: str) -> None:
    try:
        cursor.execute(f"XA END '{name}'")
    except pymysql.err.MySQLError as error:
        if error.args[0] not in _XA_ROLLED_BACK:
            raise
    cursor.execute(f"XA ROLLBACK '{name}'")


def _decide_the_prepared(scene: Scene, name: str) -> None:
    """They keep their locks until somebody does, over any number of restarts."""
    for number, row in enumerate(scene.ask("XA RECOVER")):
        found = row["data"].decode() if isinstance(row["data"], bytes) else row["data"]
        if found.startswith(name):
            scene.run(f"XA {('COMMIT', 'ROLLBACK')[number % 2]} '{found}'")


def _alteration(connection: pymysql.Connection[Any], dice: random.Random, name: str) -> None:
    """Of a table in which the others are writing; or a table more."""
    column = dice.choice(ALTERED_COLUMNS)
    statements = (
        f"ALTER TABLE number ADD COLUMN {column} INT",
        f"ALTER TABLE number DROP COLUMN {column}",
        f"ALTER TABLE word ADD INDEX {column} (n)",
        f"ALTER TABLE word DROP INDEX {column}",
        f"CREATE TABLE IF NOT EXISTS {column} (id INT PRIMARY KEY AUTO_INCREMENT, n INT)",
    )
    statement = dice.choice(statements)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        if statement.startswith("CREATE"):
            cursor.execute(f"INSERT INTO {column} (n) VALUES (1), (2), (3)")
    connection.commit()


def _truncation(connection: pymysql.Connection[Any], dice: random.Random, name: str) -> None:
    """Written as the oracle reads it."""
    database = name.partition(".")[0]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE TABLE `{database}`.`pair`")


def _pick(dice: random.Random) -> Callable[[Cursor, random.Random], None]:
    return dice.choices(list(_STATEMENTS), list(_STATEMENTS.values()))[0]


def _key(dice: random.Random) -> int:
    return dice.randrange(_KEYS)


def _insert(cursor: Cursor, dice: random.Random) -> None:
    rows = [(_key(dice), dice.randrange(9)) for _ in range(dice.choice((1, 3, 20)))]
    cursor.executemany("INSERT IGNORE INTO number (id, n, pad) VALUES (%s, %s, 'x')", rows)
    cursor.execute("INSERT IGNORE INTO word VALUES (%s, 1)", (f"w {_key(dice)}☃",))
    cursor.execute("INSERT IGNORE INTO pair VALUES (%s, %s, 1)", (_key(dice), f"b{dice.randrange(5)}"))


def _upsert(cursor: Cursor, dice: random.Random) -> None:
    cursor.execute("INSERT INTO word VALUES (%s, 1) ON DUPLICATE KEY UPDATE n = n + 1", (f"w {_key(dice)}☃",))
    cursor.execute("INSERT INTO pair VALUES (%s, 'b0', 1) ON DUPLICATE KEY UPDATE n = n + 1", (_key(dice),))


def _update(cursor: Cursor, dice: random.Random) -> None:
    first = _key(dice)
    cursor.execute("UPDATE number SET n = n + 1 WHERE id BETWEEN %s AND %s", (first, first + dice.randrange(30)))
    cursor.execute("UPDATE pair SET n = n + 1 WHERE a = %s", (_key(dice),))


def _change_key(cursor: Cursor, dice: random.Random) -> None:
    cursor.execute("UPDATE number SET id = %s WHERE id = %s", (_key(dice), _key(dice)))
    cursor.execute("UPDATE word SET id = %s WHERE id = %s", (f"w {_key(dice)}☃", f"w {_key(dice)}☃"))


def _delete(cursor: Cursor, dice: random.Random) -> None:
    first = _key(dice)
    cursor.execute("DELETE FROM number WHERE id BETWEEN %s AND %s", (first, first + dice.randrange(20)))
    cursor.execute("DELETE FROM pair WHERE a = %s", (_key(dice),))


def _replace(cursor: Cursor, dice: random.Random) -> None:
    first = 10_000 + dice.randrange(3) * 1000
    rows = [(first + n, dice.randrange(9)) for n in range(_REPLACED)]
    cursor.executemany("REPLACE INTO number (id, n, pad) VALUES (%s, %s, 'replaced')", rows)


def _savepoint(cursor: Cursor, dice: random.Random) -> None:
    cursor.execute("SAVEPOINT a")
    _insert(cursor, dice)
    cursor.execute("SAVEPOINT b")
    _update(cursor, dice)
    cursor.execute(dice.choice(("ROLLBACK TO a", "ROLLBACK TO b", "RELEASE SAVEPOINT b")))
    _upsert(cursor, dice)


_STATEMENTS: dict[Callable[[Cursor, random.Random], None], int] = {
    _insert: 30,
    _upsert: 20,
    _update: 20,
    _change_key: 10,
    _delete: 15,
    _savepoint: 10,
    _replace: 1,
}

_KINDS: dict[Callable[[pymysql.Connection[Any], random.Random, str], None], int] = {
    _transaction: 200,
    _distributed: 20,
    _alteration: 3,
    _truncation: 2,
}
"""How often each, in proportion."""
_OF_TABLES = (_alteration, _truncation)
KINDS = {kind.__name__.strip("_") for kind in _KINDS}
