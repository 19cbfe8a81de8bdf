"""
What changes while rows are replicated: definitions, spellings, other writers, locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import mysql

from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Context, Rejected, Sink, TryAgain
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.sink import SqlSink
from meepo2_connectors.sql_replicator.target import Target
from tests.command import until
from tests.connectors import sql_targets
from tests.connectors.sql_replication import (
    MAPPED,
    Pk,
    Row,
    Shop,
    apply,
    opened,
    source_database,
    text,
)
from tests.connectors.sql_targets import TargetDatabase
from tests.scenes import Server

# -- what changes meanwhile


def test_the_target_may_be_altered_meanwhile(database: TargetDatabase):
    """Columns come and go; the next rows are written by what there is."""
    database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), gone VARCHAR(40))")
    shop = Shop(database, text(), Column("gone", mysql.VARCHAR(40)))
    with shop.sink(**MAPPED) as one:
        one.apply([shop.put(1, name="a", gone="x")])
        database.run("ALTER TABLE users DROP COLUMN gone")
        one.apply([shop.put(1, name="b", gone="y")])
        assert shop.held() == [(1, "b")]
        database.run("DROP TABLE users")
        one.apply([shop.put(1, name="c")])


def test_the_source_may_be_altered_meanwhile(source_mysql: Server, database: TargetDatabase):
    """A row that has a column more, or another one, is not what the plan was made for."""
    database.run("CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(40), b VARCHAR(40))")
    with source_database(source_mysql) as (schema, rows), opened(database.url, rows) as one:
        changes = Changes(schema, "t")
        source_mysql.run(
            "CREATE TABLE t (id INT PRIMARY KEY, a TEXT)", "INSERT INTO t VALUES (1, 'a')", database=schema
        )
        one.apply([changes.write(1)])
        source_mysql.run("ALTER TABLE t ADD b TEXT", "UPDATE t SET b = 'b'", database=schema)
        persistently(one, [changes.update(1)])
        assert database.ask("SELECT * FROM t") == [(1, "a", "b")]
        source_mysql.run("ALTER TABLE t DROP a, ADD c INT FIRST", database=schema)
        persistently(one, [changes.update(1)])
        source_mysql.run("DROP TABLE t", database=schema)
        one.apply([changes.update(1)])
        assert database.ask("SELECT * FROM t") == []


def persistently(one: Sink, batch: Sequence[TableAction]) -> None:
    """As a lane does, to which nothing but TryAgain is said."""
    for _ in range(3):
        try:
            return one.apply(batch)
        except TryAgain:
            continue
    raise AssertionError("it is never done")


def test_keys_of_a_former_definition_are_rejected_alone(source_mysql: Server, postgres: TargetDatabase):
    """Which of the present rows they meant, nobody can tell; the others go on."""
    with source_database(source_mysql) as (schema, rows), opened(postgres.url, rows, on_missing_table="create") as one:
        changes = Changes(schema, "t")
        source_mysql.run("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=schema)
        with pytest.raises(Rejected) as caught:
            one.apply([changes.write(1), changes.write(1, "former"), changes.write("x")])
        assert {record.pk for record in caught.value.records} == {(1, "former"), ("x",)}
        assert postgres.ask("SELECT id FROM t") == [(1,)]


def test_spellings_that_are_equal_to_the_source_are_different_keys(source_mysql: Server, database: TargetDatabase):
    """A key that changed its case is a delete and a write, in any order; the row must not go, nor be there twice."""
    with source_database(source_mysql) as (schema, rows), opened(database.url, rows, on_missing_table="create") as one:
        changes = Changes(schema, "t")
        source_mysql.run(
            "CREATE TABLE t (id VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY)",
            "INSERT INTO t VALUES ('ABC')", database=schema,
        )  # fmt: skip
        one.apply([changes.write("ABC")])
        source_mysql.run("UPDATE t SET id = 'abc'", database=schema)
        for batch in ([changes.write("abc")], [changes.delete("ABC")], [changes.write("abc"), changes.delete("ABC")]):
            one.apply(batch)
            one.apply([changes.truncate()])
            assert database.ask("SELECT id FROM t") == [("abc",)]


class Interrupted(InMemoryRows):
    """Rows that somebody else changes right behind a read: what `meanwhile` does is done once, after so many reads."""

    meanwhile: Callable[[], object] | None = None
    reads = 1

    def fetch(self, schema: str, table: str, pks: Sequence[Pk]) -> dict[Pk, Row]:
        found = super().fetch(schema, table, pks)
        self.reads -= self.meanwhile is not None
        if self.meanwhile is not None and self.reads == 0:
            act, self.meanwhile = self.meanwhile, None
            act()
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_row_that_was_read_long_ago_is_not_written_behind_a_newer_one(kind: str, deleted: bool, tmp_path: Path):
    """
    A process is slow, its partition goes to another one, which writes the row; then the first one goes on.

    Reading the row anew is what repairs it: nothing comes later that would.
    """
    with sql_targets.database(kind, tmp_path) as database:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40))")
        shop, clock = Shop(database, text()), Clock()
        rows = Interrupted([shop.table])
        record = shop.put(1, name="old")
        rows.put("shop", "user", (1,), {"id": 1, "name": "old"})
        own = Settings.model_validate({"target_url": database.url, **MAPPED})
        slow = SqlSink(own, Context("shop", source_rows=lambda: rows), clock)

        def successor() -> None:
            clock.now += 60
            rows.remove("shop", "user", (1,))
            if not deleted:
                rows.put("shop", "user", (1,), {"id": 1, "name": "new"})
            apply(database.url, rows, [record], **MAPPED)

        slow.open()
        try:
            rows.meanwhile = successor
            slow.apply([record])
        finally:
            slow.close()
        assert shop.held() == ([] if deleted else [(1, "new")])


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_transaction_that_rests_is_ended_by_the_target(kind: str, tmp_path: Path):
    """A process that was paused between its last look at the clock and the commit must not be able to commit."""
    with sql_targets.database(kind, tmp_path) as database:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40))")
        target = Target(Settings.model_validate({"target_url": database.url}))
        with pytest.raises(TryAgain):
            write_and_rest(target, lambda: not sessions_in(database, kind))
        target.close()
        assert database.ask("SELECT * FROM users") == []


def write_and_rest(target: Target, over: Callable[[], bool]) -> None:
    with target.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO users VALUES (1, 'x')")
        target.guard(connection)
        until(over, "the target ends it", 20)


def sessions_in(database: TargetDatabase, kind: str) -> int:
    where = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%%'"
    if kind == "mysql":
        where = "information_schema.PROCESSLIST WHERE DB = DATABASE() AND COMMAND = 'Sleep'"
    return int(database.ask(f"SELECT COUNT(*) FROM {where}")[0][0])


@pytest.mark.parametrize("reads", [1, 2])
def test_a_row_that_is_inserted_during_a_truncate_is_kept(database: TargetDatabase, reads: int):
    """Between the comparison and the delete somebody writes it, and nothing would bring it back."""
    shop = Shop(database, text())
    rows = Interrupted([shop.table])
    shop.rows = rows
    with shop.sink(**MAPPED, on_missing_table="create") as one:
        one.apply([shop.put(n, name="a") for n in range(5)])
        for n in range(5):
            rows.remove("shop", "user", (n,))
        rows.reads = reads
        if database.kind == "sqlite":  # whose lock is held meanwhile: only the source can change
            rows.meanwhile = lambda: shop.put(3, name="new")
        else:
            rows.meanwhile = lambda: apply(database.url, rows, [shop.put(3, name="new")], **MAPPED)
        one.apply([shop.changes.truncate()])
    assert shop.held() == [(3, "new")]


@pytest.mark.parametrize("kind", ["postgres", "mysql", "sqlite"])
def test_a_lock_that_is_not_had_in_time_is_no_failure_of_rows(kind: str, tmp_path: Path):
    """Somebody's long transaction, a deadlock: the batch comes again, and nothing becomes a dead letter."""
    with sql_targets.database(kind, tmp_path) as database:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40))", "INSERT INTO users VALUES (1, 'x')")
        shop = Shop(database, text())
        with shop.sink(**MAPPED, timeout_seconds=1) as one:
            with database.connect() as other:
                other.exec_driver_sql("BEGIN IMMEDIATE" if kind == "sqlite" else "BEGIN")
                other.exec_driver_sql("UPDATE users SET name = 'theirs'")
                with pytest.raises(TryAgain) as caught:
                    one.apply([shop.put(1, name="ours")])
                other.exec_driver_sql("ROLLBACK")
            assert not caught.value.records
            one.apply([shop.put(1, name="ours")])
        assert shop.held() == [(1, "ours")]


@pytest.mark.parametrize("kind", ["postgres", "mysql", "sqlite"])
def test_threads_with_keys_of_their_own_do_not_hinder_each_other(kind: str, tmp_path: Path):
    """Four workers, one table: no deadlock, no busy file, all rows."""
    with sql_targets.database(kind, tmp_path) as database:
        shop = Shop(database, text())
        with shop.sink(on_missing_table="create", **MAPPED) as one, ThreadPoolExecutor(4) as pool:
            batches = [[shop.put(n, name="x") for n in range(lane, 400, 4)] for lane in range(4)]
            for _ in range(5):
                list(pool.map(one.apply, batches))
        assert len(shop.held()) == 400


def test_a_table_that_several_create_at_once_is_created_once(database: TargetDatabase):
    """IF NOT EXISTS does not keep PostgreSQL from failing then, and the process would end."""
    names = [f"t{n}" for n in range(12)]
    tables = [Table(one, MetaData(), Column("id", mysql.INTEGER(), primary_key=True), schema="shop") for one in names]
    rows, together = InMemoryRows(tables), Barrier(4)

    def create_all(_: int) -> None:
        with opened(database.url, rows, on_missing_table="create", timeout_seconds=20) as one:
            for name in names:
                together.wait(60)
                one.apply([Changes("shop", name).write(1)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create_all, range(4)))
    assert [database.ask(f"SELECT * FROM {name}") for name in names] == [[]] * len(names)
