"""
Tables of the target that are not quite those of the source.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from prometheus_client import REGISTRY
from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import quoted_name
from structlog.testing import capture_logs

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import Rejected, TryAgain
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.sql_replicator.statements import STATEMENTS
from tests.connectors import sql_targets
from tests.connectors.sql_replication import (
    MAPPED,
    Shop,
    applied,
    apply,
    opened,
    text,
)
from tests.connectors.sql_targets import TargetDatabase
from tests.scenes import Server

# -- what the target is like

MIDNIGHT = datetime(2026, 1, 2)  # noqa: DTZ001 - as the source's rows have them
THREE = MIDNIGHT.replace(hour=3)


def test_columns_that_the_target_has_not_are_left_out_and_told_once(database: TargetDatabase):
    """S80.  A target that keeps less is common; a name that is misspelled must be seen."""
    shop = Shop(database, text(), Column("hidden", mysql.TEXT()))
    database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), own INT DEFAULT 7)")
    with capture_logs() as logs, shop.sink(**MAPPED) as one:
        one.apply([shop.put(1, name="a", hidden="s")])
        one.apply([shop.put(2, name="b")])
        database.run("UPDATE users SET own = 8 WHERE id = 1")
        one.apply([shop.put(1, name="c")])
    assert shop.held("id, name, own") == [(1, "c", 8), (2, "b", 7)]
    assert [log["names"] for log in logs if "no columns" in log["event"]] == [["hidden"]]


def test_a_table_that_the_target_has_not_is_told_once_and_its_records_counted(database: TargetDatabase):
    """S80.  The other tables go on; what is missing must be found in a log and in a metric."""
    shop = Shop(database, text())
    before = skipped("shop.user")
    with capture_logs() as logs, shop.sink() as one:
        one.apply([shop.put(1), shop.put(2), shop.changes.truncate()])
        one.apply([shop.put(3)])
    assert skipped("shop.user") - before == 4
    assert [log["table"] for log in logs if "no such table" in log["event"]] == ["shop.user"]
    with (
        shop.sink(on_missing_table="stop") as one,
        pytest.raises(ConfigError, match=r"has no table user for shop\.user"),
    ):
        one.apply([shop.changes.write(1)])


def skipped(table: str) -> float:
    return REGISTRY.get_sample_value("meepo2_cdc_sql_replicator_skipped_total", {"table": table}) or 0


def test_tables_and_columns_have_other_names_where_they_are_mapped(database: TargetDatabase):
    """And a column that is mapped to nothing is not written, wherever it could be."""
    shop = Shop(database, text(), Column("hidden", mysql.VARCHAR(9)))
    columns = {"shop.user": {"name": "called", "hidden": "", "id": "number"}}
    with shop.sink(**MAPPED, columns=columns, on_missing_table="create") as one:
        one.apply([shop.put(1, name="a", hidden="s"), shop.put(2)])
        one.apply([shop.remove(2)])
    assert shop.held("number, called") == [(1, "a")]
    with pytest.raises(DBAPIError):
        shop.held("hidden")


HOSTILE = ["a`b", 'a"b', "a'b", "a%b%s%%", "a:b :c", "ä☃", "a\nb", "a;b--", "values (", "a?b", "a{b}", "SELECT", "a$$b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_names_whatever_is_in_them(database: TargetDatabase, name: str):
    """A table may be called anything; nothing of it may become a statement."""
    column = name.replace("\n", " ")  # SQLAlchemy does not find columns of MySQL with a newline in their names
    columns = [Column(column, mysql.INTEGER(), primary_key=True), Column(f"{column}2", mysql.TEXT())]
    table = Table(name, MetaData(), *columns, schema="shop")
    rows, changes = InMemoryRows([table]), Changes("shop", name)
    for n in range(3):
        rows.put("shop", name, (n,), {column: n, f"{column}2": name})
    with opened(database.url, rows, on_missing_table="create") as one:
        batch = [changes.write(n) for n in range(3)]
        one.apply(batch)
        one.apply(batch)
        rows.remove("shop", name, (0,))
        one.apply([changes.delete(0)])
        rows.remove("shop", name, (1,))
        one.apply([changes.truncate()])
    wanted = [sqlalchemy.column(quoted_name(one, True)) for one in (column, f"{column}2")]
    with database.connect() as connection:
        found = connection.execute(sqlalchemy.select(*wanted).select_from(sqlalchemy.table(quoted_name(name, True))))
        assert [tuple(row) for row in found] == [(2, name)]


def test_schemas_of_the_source_are_kept_apart_where_asked_to(postgres: TargetDatabase):
    """Tables of one name in two schemas would be mixed in one."""
    tables = [Table("t", MetaData(), Column("id", mysql.INTEGER(), primary_key=True), schema=one) for one in ("a", "b")]
    rows = InMemoryRows(tables)
    for schema, n in (("a", 1), ("b", 2)):
        rows.put(schema, "t", (n,), {"id": n})
    batch = [Changes("a", "t").write(1), Changes("b", "t").write(2)]
    apply(postgres.url, rows, batch, target_schema="of_{schema}", on_missing_table="create")
    assert postgres.ask("SELECT id FROM of_a.t") == [(1,)]
    assert postgres.ask("SELECT id FROM of_b.t") == [(2,)]


def test_only_the_rows_that_the_target_refuses_become_dead_letters(database: TargetDatabase):
    """One value that is too long must not take 49 rows with it; nor may its text get into a log."""
    if database.kind == "sqlite":
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name TEXT CHECK (length(name) < 5))")
    else:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(4))")
    shop = Shop(database, text())
    batch = [shop.put(n, name="much too long" if n % 20 == 7 else "ok") for n in range(50)]
    with shop.sink(**MAPPED) as one, pytest.raises(Rejected) as caught:
        one.apply(batch)
    assert {record.pk for record in caught.value.records} == {(7,), (27,), (47,)}
    assert "much too long" not in caught.value.why
    assert len(shop.held()) == 47


def test_text_that_postgres_cannot_hold_is_rejected_alone(postgres: TargetDatabase):
    """NUL is a character for MySQL and none for PostgreSQL."""
    postgres.run("CREATE TABLE users (id INT PRIMARY KEY, name TEXT, doc JSONB)")
    shop = Shop(postgres, text(), Column("doc", mysql.JSON()))
    batch = [shop.put(1, name="a\0b"), shop.put(2, doc='"\\u0000"'), shop.put(3, name="ok", doc="{}")]
    with shop.sink(**MAPPED) as one:
        assert set(applied(one, batch)) == {(1,), (2,)}
    assert shop.held("id, name") == [(3, "ok")]


@pytest.mark.parametrize(
    ("declared", "source", "value", "expected"),
    [
        ("BOOLEAN", mysql.TINYINT(1), 1, True),
        ("SMALLINT", mysql.TINYINT(1), 1, 1),
        ("DATE", mysql.DATE(), "0000-00-00", Rejected),
        ("TIMESTAMP", mysql.DATETIME(), "0000-00-00 00:00:00", Rejected),
        ("TIME", mysql.TIME(), timedelta(hours=23), time(23)),
        ("TIME", mysql.TIME(), timedelta(hours=24), Rejected),
        ("TIME", mysql.TIME(), timedelta(seconds=-1), Rejected),
        ("DATE", mysql.DATETIME(), MIDNIGHT, date(2026, 1, 2)),
        ("DATE", mysql.DATETIME(), THREE, Rejected),
        ("TIMESTAMPTZ", mysql.DATETIME(), THREE, datetime(2026, 1, 2, 3, tzinfo=UTC)),
        ("TIMESTAMP", mysql.TIMESTAMP(), THREE, THREE),
        ("INT", mysql.DECIMAL(9, 2), Decimal("7.00"), 7),
        ("INT", mysql.DECIMAL(9, 2), Decimal("7.50"), Rejected),
        ("SMALLINT", mysql.INTEGER(), 70_000, Rejected),
        ("NUMERIC", mysql.DOUBLE(), 0.1, Decimal("0.1")),
        ("NUMERIC(4,1)", mysql.DECIMAL(9, 2), Decimal("99999"), Rejected),
        ("TEXT", mysql.INTEGER(), 5, "5"),
        ("TEXT", mysql.DECIMAL(9, 2), Decimal("7.50"), "7.50"),
        ("TEXT", mysql.DATETIME(), THREE, "2026-01-02 03:00:00"),
        ("TEXT", mysql.TIME(), timedelta(hours=-30), "-30:00:00"),
        ("TEXT", mysql.BLOB(), b"x", Rejected),
        ("BYTEA", mysql.BIT(9), 5, b"\0\5"),
        ("BYTEA", mysql.TEXT(), "é", "é".encode()),
        ("INT", mysql.VARCHAR(9), "12", 12),
        ("INT", mysql.VARCHAR(9), "x", Rejected),
        ("UUID", mysql.CHAR(36), str(uuid.UUID(int=7)), uuid.UUID(int=7)),
        ("VARCHAR(3)", mysql.VARCHAR(9), "abcd", Rejected),
        ("CHAR(3)", mysql.CHAR(3), "ab", "ab "),
    ],
)  # fmt: skip
def test_existing_columns_of_other_types_get_the_value_or_refuse_it(
    postgres: TargetDatabase, declared: str, source: Any, value: Any, expected: Any
):
    """Nothing is rounded, cut or moved in silence: what does not fit is a dead letter."""
    postgres.run(f"CREATE TABLE users (id INT PRIMARY KEY, v {declared})")
    shop = Shop(postgres, Column("v", source))
    with shop.sink(**MAPPED) as one:
        rejected = applied(one, [shop.put(1, v=value), shop.put(2)])
    if expected is Rejected:
        assert set(rejected) == {(1,)}
        assert shop.held() == [(2, None)]
    else:
        assert not rejected
        assert sorted(shop.held()) == [(1, expected), (2, None)]


@pytest.mark.parametrize(
    ("declared", "source", "value", "expected"),
    [
        ("INTEGER", mysql.BIGINT(unsigned=True), 2**64 - 1, Rejected),
        ("TEXT", mysql.BIGINT(unsigned=True), 2**64 - 1, str(2**64 - 1)),
        ("DECIMAL(30,10)", mysql.DECIMAL(30, 10), Decimal("12.5000000000"), 12.5),
        ("DECIMAL(30,10)", mysql.DECIMAL(30, 10), Decimal("12345678901234567890.1234567890"), Rejected),
        ("DATETIME", mysql.DATETIME(), THREE, "2026-01-02 03:00:00"),
        ("REAL", mysql.DOUBLE(), 0.1, 0.1),
        ("TEXT", mysql.DOUBLE(), 0.1, "0.1"),
    ],
)
def test_existing_columns_of_sqlite_keep_all_digits_or_refuse(
    tmp_path: Path, declared: str, source: Any, value: Any, expected: Any
):
    """SQLite makes a double of a long number, whose last digits are then others."""
    with sql_targets.database("sqlite", tmp_path) as database:
        database.run(f"CREATE TABLE users (id INT PRIMARY KEY, v {declared})")
        shop = Shop(database, Column("v", source))
        with shop.sink(**MAPPED) as one:
            rejected = applied(one, [shop.put(1, v=value)])
        assert (set(rejected) == {(1,)}) if expected is Rejected else shop.held() == [(1, expected)]


def test_a_zero_date_can_become_null(postgres: TargetDatabase):
    """By a setting, as it is no longer what the source has."""
    postgres.run("CREATE TABLE users (id INT PRIMARY KEY, v DATE, w TEXT)")
    shop = Shop(postgres, Column("v", mysql.DATE()), Column("w", mysql.DATE()))
    with shop.sink(**MAPPED, zero_dates="null") as one:
        one.apply([shop.put(1, v="0000-00-00", w="0000-00-00")])
    assert shop.held() == [(1, None, "0000-00-00")]


def test_columns_that_want_a_value_the_source_has_not_are_named(database: TargetDatabase):
    """What to do is said in terms of columns, instead of in those of a failed statement; deletes are possible."""
    database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), own INT NOT NULL)")
    database.run("INSERT INTO users VALUES (2, 'x', 1)")
    shop = Shop(database, text())
    with shop.sink(**MAPPED) as one, pytest.raises(Rejected, match="wants values for own, which the source has not"):
        one.apply([shop.put(1), shop.changes.delete(2)])
    assert shop.held() == []


def test_columns_that_the_target_makes_by_itself_are_left_to_it(database: TargetDatabase):
    """A generated column takes no value; a key that the target would number takes the source's."""
    number = {"postgres": "INT GENERATED ALWAYS AS IDENTITY", "sqlite": "INTEGER"}.get(
        database.kind, "INT AUTO_INCREMENT"
    )
    database.run(f"CREATE TABLE users (id {number} PRIMARY KEY, n INT, name INT GENERATED ALWAYS AS (n + 1) STORED)")
    shop = Shop(database, Column("n", mysql.INTEGER()), Column("name", mysql.INTEGER()))
    with shop.sink(**MAPPED) as one:
        one.apply([shop.put(0, n=1, name=99), shop.put(41, n=2)])
        one.apply([shop.put(0, n=3), shop.put(41, n=2)])
    assert shop.held() == [(0, 3, 4), (41, 2, 3)]


def test_a_target_without_the_key_is_for_a_person(database: TargetDatabase):
    """Each update would add a row."""
    database.run("CREATE TABLE users (id INT, name VARCHAR(40))")
    shop = Shop(database, text())
    with shop.sink(**MAPPED) as one, pytest.raises(ConfigError, match=r"no primary or unique key over \(id\)"):
        one.apply([shop.put(1)])


def test_a_unique_key_other_than_the_primary_one_will_do(database: TargetDatabase):
    """Targets have keys of their own, with the source's key beside it."""
    number = {"postgres": "SERIAL", "sqlite": "INTEGER"}.get(database.kind, "INT AUTO_INCREMENT")
    database.run(f"CREATE TABLE users (own {number} PRIMARY KEY, id INT NOT NULL UNIQUE, name VARCHAR(40))")
    shop = Shop(database, text())
    with shop.sink(**MAPPED) as one:
        one.apply([shop.put(7, name="a"), shop.put(8, name="b")])
        one.apply([shop.put(7, name="c"), shop.remove(8)])
    assert shop.held("id, name") == [(7, "c")]


def test_values_that_move_between_rows_do_so_under_a_unique_key(database: TargetDatabase):
    """
    Rows arrive one by one and in any order; what is taken by a row that has changed since must not stop another.

    MySQL's ON DUPLICATE KEY UPDATE would change the other row in silence.
    """
    database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), UNIQUE (name))")
    shop = Shop(database, text())
    with shop.sink(**MAPPED) as one:
        one.apply([shop.put(n, name=f"n{n}") for n in range(6)])
        changed = [shop.put(0, name="n1"), shop.put(1, name="n0"), shop.put(7, name="n2"), shop.remove(2)]
        changed += [shop.put(3, name="n4"), shop.put(4, name="n5"), shop.put(5, name="n3")]
        for record in changed:
            one.apply([record])
        assert shop.held() == [(0, "n1"), (1, "n0"), (3, "n4"), (4, "n5"), (5, "n3"), (7, "n2")]
        one.apply([shop.put(0, name="n0"), shop.put(1, name="n1"), shop.put(9, name="x"), *changed])
        assert shop.held()[:2] == [(0, "n0"), (1, "n1")]


def test_a_value_that_two_rows_have_comes_again_and_harms_neither(database: TargetDatabase):
    """The source has no such key; its second row must be told of, and the first one stay."""
    database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), UNIQUE (name))")
    shop = Shop(database, text())
    with shop.sink(**MAPPED) as one:
        one.apply([shop.put(1, name="same")])
        with pytest.raises(TryAgain) as caught:
            one.apply([shop.put(2, name="same"), shop.put(3, name="other")])
    assert [record.pk for record in caught.value.records] == [(2,)]
    assert "same" not in caught.value.why
    assert shop.held() == [(1, "same"), (3, "other")]


FAMILY = (
    "CREATE TABLE parents (id INT PRIMARY KEY)",
    "CREATE TABLE users (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parents (id))",
)


def test_foreign_keys_are_refused_ignored_or_waited_for(database: TargetDatabase):
    """Rows of two tables come in no order; a child before its parent would become a dead letter."""
    database.run(*FAMILY)
    shop = Shop(database, Column("parent", mysql.INTEGER()))
    if database.kind != "sqlite":  # which looks at none unless told to
        with shop.sink(**MAPPED) as one, pytest.raises(ConfigError, match="foreign keys, to parents"):
            one.apply([shop.put(1, parent=5)])
    with shop.sink(**MAPPED, foreign_keys="retry") as one:
        with pytest.raises(TryAgain) as caught:
            one.apply([shop.put(1, parent=5), shop.put(2)])
        assert [record.pk for record in caught.value.records] == [(1,)]
        assert shop.held() == [(2, None)]
        database.run("INSERT INTO parents VALUES (5)")
        one.apply([shop.put(1, parent=5)])
    with shop.sink(**MAPPED, foreign_keys="ignore") as one:
        one.apply([shop.put(3, parent=77)])
    assert shop.held() == [(1, 5), (2, None), (3, 77)]


def test_a_column_that_takes_no_such_values_at_all_is_for_a_person(postgres: TargetDatabase):
    """Every row would become a dead letter."""
    postgres.run("CREATE TABLE users (id INT PRIMARY KEY, name INT[])")
    shop = Shop(postgres, text())
    with shop.sink(**MAPPED) as one, pytest.raises(ConfigError, match=r"does not take rows of shop\.user"):
        one.apply([shop.put(1, name="x")])


def test_a_dialect_without_an_upsert_of_its_own_gets_deletes_and_inserts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Any database that SQLAlchemy knows can be a target."""
    monkeypatch.delitem(STATEMENTS, "sqlite")
    with sql_targets.database("sqlite", tmp_path) as database:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40))")
        shop = Shop(database, text())
        with shop.sink(**MAPPED) as one:
            one.apply([shop.put(1, name="a"), shop.put(2, name="b")])
            one.apply([shop.put(1, name="c"), shop.remove(2)])
        assert shop.held() == [(1, "c")]


@pytest.fixture
def short_packets(own_mysql: Server) -> Iterator[Server]:
    """A MySQL that takes a MiB at once."""
    before = own_mysql.variable("max_allowed_packet")
    own_mysql.run("SET GLOBAL max_allowed_packet = 1048576")
    yield own_mysql
    own_mysql.run(f"SET GLOBAL max_allowed_packet = {before}")


def test_a_row_that_is_too_long_for_mysql_is_rejected_alone(short_packets: Server):
    """The server ends the connection, which would pass for a target that is away, and be tried for ever."""
    with sql_targets.database_on("mysql", short_packets.dsn) as database:
        database.run("CREATE TABLE users (id INT PRIMARY KEY, data LONGBLOB)")
        shop = Shop(database, Column("data", mysql.LONGBLOB()))
        sizes = {1: 600_000, 2: 2_000_000, 3: 500_000, 4: 10}  # of characters that are escaped, so twice as much
        with shop.sink(**MAPPED) as one:
            rejected = applied(one, [shop.put(n, data=b"\\" * size) for n, size in sizes.items()])
        assert set(rejected) == {(1,), (2,)}
        assert shop.held("id, LENGTH(data)") == [(3, 500_000), (4, 10)]
