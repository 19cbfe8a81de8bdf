"""
The rows of the source by the keys of records, on each kind of server.
"""

from __future__ import annotations

import secrets
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import event

from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.keys import KeyMismatch, key_parts
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import TryAgain
from tests.integration.test_key_types import KEYS, Key, Tables
from tests.reading import Log
from tests.services import native
from tests.sources import MARIADB, MYSQL, known_sources, source_log

pytestmark = pytest.mark.filterwarnings("error::sqlalchemy.exc.SAWarning")


@dataclass
class Source:
    """A server with a fresh database, and a reader of its rows."""

    server: str
    log: Log
    database: str
    rows: SourceRows

    def run(self, *statements: str) -> None:
        with self.log.connect(self.database) as session, session.cursor() as cursor:
            cursor.execute("SET sql_mode = 'NO_ENGINE_SUBSTITUTION'")
            for statement in statements:
                cursor.execute(statement)

    def fetch(self, table: str, *pks: tuple[Any, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
        return self.rows.fetch(self.database, table, pks)

    def existing(self, table: str, *pks: tuple[Any, ...]) -> set[tuple[Any, ...]]:
        return self.rows.existing(self.database, table, pks)

    def settings(self, **given: Any) -> SourceSettings:
        assert self.log.source.dsn is not None
        return SourceSettings.model_validate({"dsn": self.log.source.dsn, **given})

    @contextmanager
    def account(self, *grants: str) -> Iterator[SourceSettings]:
        """An account of its own, with such grants."""
        user, password = f"u{secrets.token_hex(6)}", "Pw-of-a-test-1"
        self.run(
            f"CREATE USER {user}@'%' IDENTIFIED BY '{password}'", *(f"GRANT {one} TO {user}@'%'" for one in grants)
        )
        address = self.log.source.address
        try:
            yield self.settings(dsn=SecretStr(f"mysql://{user}:{password}@{address.host}:{address.port}/"))
        finally:
            self.run(f"DROP USER {user}@'%'")


@pytest.fixture(params=known_sources())
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    with (
        closing(source_log(request.param)) as log,
        log.database() as database,
        closing(SourceRows.from_source(log.source)) as rows,
    ):
        yield Source(request.param, log, database, rows)


@contextmanager
def statements(rows: SourceRows) -> Iterator[list[tuple[str, Any]]]:
    """The SELECTs that are sent meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(rows._engine, "before_cursor_execute", note)
    yield seen
    event.remove(rows._engine, "before_cursor_execute", note)


# -- keys


def has_one_spelling_for_two(key: Key) -> bool:
    """Labels that occur twice, and EUC-JP, whose full-width backslash the server shows as an ordinary one."""
    return "'x','x'" in key.declared or "ujis" in key.declared


def test_every_type_of_key_finds_its_row(source: Source):
    """A row that is not found is taken for deleted, and removed from the target."""
    keys = [key for key in KEYS if source.server in key.servers and not has_one_spelling_for_two(key)]
    tables = Tables(source.log, source.database)
    tables.create(keys)
    tables.fill(keys)
    wrong = []
    for number, (key, parts) in enumerate(zip(keys, tables.selected(keys), strict=True)):
        name = f"k{number}"
        pks = [(part,) for part in parts]
        order = [n for (n,) in source.log.ask(f"SELECT n FROM {source.database}.{name} ORDER BY n")]
        definition = source.rows.table(source.database, name)
        assert definition is not None
        together = source.fetch(name, *pks)
        alone = source.fetch(name, pks[-1])
        assert alone == {pks[-1]: together[pks[-1]]}, key
        assert source.existing(name, *pks) == set(pks), key
        for pk, n in zip(pks, order, strict=True):
            row = together.get(pk)
            if row is None or row["n"] != n or repr(key_parts(definition, row)) != repr(pk):
                wrong.append(f"{key}: asked for {pk!r}, got {row}")
    assert wrong == []
    assert len(keys) > 100


NUMBERS = "(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS n FROM ten a, ten b, ten c, ten d)"

INDEXED = [
    # (columns of the key, the key, the values for row n, servers)
    ("k INT", "k", "n", ()),
    ("k BIGINT UNSIGNED", "k", "18446744073709551615 - n", ()),
    ("k DECIMAL(30,10)", "k", "n * 0.0000000001", ()),
    ("k FLOAT", "k", "n / 3", ()),
    ("k DOUBLE", "k", "n / 7e0", ()),
    ("k BIT(20)", "k", "n", ()),
    ("k DATE", "k", "DATE'1999-01-01' + INTERVAL n DAY", ()),
    ("k DATETIME(3)", "k", "TIMESTAMP'1999-01-01 00:00:00.123' + INTERVAL n HOUR", ()),
    ("k TIMESTAMP(6)", "k", "TIMESTAMP'2020-01-01 00:00:00.123' + INTERVAL n HOUR", ()),
    ("k TIME(2)", "k", "SEC_TO_TIME(n * 60 - 200000.5)", ()),
    ("k VARCHAR(20) CHARACTER SET utf8mb4", "k", "CONCAT('Größe ', n)", ()),
    ("k CHAR(20) CHARACTER SET latin1", "k", "CONCAT('Größe ', n)", ()),
    ("k BINARY(16)", "k", "UNHEX(LPAD(HEX(n), 32, '0'))", ()),
    ("k VARBINARY(16)", "k", "UNHEX(LPAD(HEX(n), 32, '0'))", ()),
    ("k VARCHAR(90) CHARACTER SET utf8mb4", "k(8)", "CONCAT(10000000 + n, ' and more')", ()),
    ("k UUID", "k", "CONCAT('00000000-0000-4000-8000-', LPAD(n, 12, '0'))", MARIADB),
    ("k INET6", "k", "CONCAT('2001:db8::', HEX(n))", MARIADB),
    ("a VARCHAR(20), b DATE, c INT", "c, a, b", "CONCAT('k', n), DATE'1999-01-01' + INTERVAL n DAY, n MOD 7", ()),
    ("a DECIMAL(12,4), b BIGINT UNSIGNED", "a, b", "n / 8, 18446744073709551615 - n", ()),
]


def test_keys_of_every_type_are_looked_up_in_the_index(source: Source):
    """Five hundred keys against ten million rows without an index are minutes, and the source suffers."""
    source.run("CREATE TABLE ten (n INT)", f"INSERT INTO ten VALUES {', '.join(f'({n})' for n in range(10))}")
    cases = [one for one in INDEXED if not one[3] or source.server in one[3]]
    for number, (columns, key, values, _) in enumerate(cases):
        name = f"i{number}"
        names = ", ".join(column.split()[0] for column in columns.split(", "))
        source.run(
            f"CREATE TABLE {name} ({columns}, beside VARCHAR(50), PRIMARY KEY ({key}))",
            f"INSERT INTO {name} ({names}, beside) SELECT {values}, 'x' FROM {NUMBERS} AS numbers",
            f"ANALYZE TABLE {name}",
        )
        definition = source.rows.table(source.database, name)
        assert definition is not None
        pks = [key_parts(definition, row) for row in some_rows(source, definition, 100)]
        for ask in (source.fetch, source.existing):
            with statements(source.rows) as seen:
                assert len(ask(name, *pks)) == 100
            assert len(seen) == 1, columns
            plan = explained(source.rows, *seen[0])
            assert {(step["type"], step["key"]) for step in plan} == {("range", "PRIMARY")}, (columns, plan)


def test_batches_of_thousands_are_looked_up_in_the_index_too(source: Source):
    """MariaDB makes a join with a table of the keys out of more than a thousand, and reads every row for it."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)", "ANALYZE TABLE t")
    assert source.log.source.dsn is not None
    with closing(SourceRows(source.log.source.dsn.get_secret_value(), batch_keys=3000)) as rows:
        with statements(rows) as seen:
            assert rows.existing(source.database, "t", [(n,) for n in range(2, 3000)]) == {(2,)}
        assert len(explained(rows, *seen[0])) == 1


def some_rows(source: Source, table: sqlalchemy.Table, limit: int) -> list[dict[str, Any]]:
    """Keys in the form in which SourceRows gives them, without asking by key."""
    read = [
        sqlalchemy.literal_column(f"{column.name} + 0e0" if column.type.__class__.__name__ == "FLOAT" else column.name)
        for column in table.primary_key
    ]
    with source.rows._engine.connect() as connection:
        found = connection.execute(sqlalchemy.select(*read).select_from(table).limit(limit))
        return [dict(zip(table.primary_key.columns.keys(), row, strict=True)) for row in found]


def explained(rows: SourceRows, statement: str, parameters: Any) -> list[Any]:
    with rows._engine.connect() as connection:
        return list(connection.exec_driver_sql(f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters).mappings())


# -- what the source takes for equal


def test_a_row_that_is_spelled_otherwise_is_the_answer_to_each_spelling(source: Source):
    """The key ABC became abc: asked for the old spelling, "not there" would delete a row that is there."""
    source.run("CREATE TABLE t (k VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)",
               "INSERT INTO t VALUES ('abc', 1), ('other', 2)")  # fmt: skip
    alone = source.fetch("t", ("ABC",))
    assert alone == {("ABC",): {"k": "abc", "v": 1}}
    together = source.fetch("t", ("ABC",), ("gone",), ("abc",), ("Äbc",), ("OTHER",))
    assert {pk[0]: row["v"] for pk, row in together.items()} == {"ABC": 1, "abc": 1, "Äbc": 1, "OTHER": 2}
    assert source.existing("t", ("ABC",), ("gone",), ("abc",)) == {("ABC",), ("abc",)}
    definition = source.rows.table(source.database, "t")
    assert definition is not None
    assert key_parts(definition, alone[("ABC",)]) == ("abc",)


def test_a_key_of_several_parts_may_be_spelled_otherwise_in_one(source: Source):
    """Matching the first part only would give the row of another tenant."""
    source.run("CREATE TABLE t (n INT, k VARCHAR(9) COLLATE utf8mb4_general_ci, PRIMARY KEY (n, k))",
               "INSERT INTO t VALUES (1, 'abc'), (2, 'ABC')")  # fmt: skip
    found = source.fetch("t", (1, "ABC"), (2, "ABC"), (2, "abc"), (3, "abc"))
    assert found == {
        (1, "ABC"): {"n": 1, "k": "abc"}, (2, "ABC"): {"n": 2, "k": "ABC"}, (2, "abc"): {"n": 2, "k": "ABC"}
    }  # fmt: skip


def test_spaces_at_the_end_count_as_the_collation_says(source: Source):
    """'b ' and 'b' are one key to most collations, and two to others."""
    source.run(
        "CREATE TABLE pad (k VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY)", "INSERT INTO pad VALUES ('b ')"
    )
    assert source.fetch("pad", ("b",), ("b ",), ("b  ",)) == {(k,): {"k": "b "} for k in ("b", "b ", "b  ")}
    no_pad = "utf8mb4_0900_ai_ci" if source.server in MYSQL else "utf8mb4_general_nopad_ci"
    source.run(f"CREATE TABLE nopad (k VARCHAR(9) COLLATE {no_pad} PRIMARY KEY)", "INSERT INTO nopad VALUES ('b ')")
    assert source.fetch("nopad", ("b",), ("b ",), ("b  ",)) == {("b ",): {"k": "b "}}


def test_a_key_over_the_beginning_of_a_column_is_compared_as_a_whole(source: Source):
    """The index holds ten characters; two values that begin alike were one after the other in the same place."""
    source.run("CREATE TABLE t (slug VARCHAR(50), v INT, PRIMARY KEY (slug(10)))",
               "INSERT INTO t VALUES ('0123456789 new', 1), ('short', 2)")  # fmt: skip
    found = source.fetch("t", ("0123456789 old",), ("0123456789 new",), ("0123456789",), ("short",))
    assert {pk[0]: row["v"] for pk, row in found.items()} == {"0123456789 new": 1, "short": 2}


def test_a_text_that_the_column_cannot_hold_is_not_there(source: Source):
    """One snowman among five hundred keys of a latin1 column must not fail the other ones."""
    source.run("CREATE TABLE t (n INT, k VARCHAR(9) CHARACTER SET latin1, PRIMARY KEY (k, n))",
               "INSERT INTO t VALUES (1, 'größe'), (2, 'b')")  # fmt: skip
    found = source.fetch("t", ("größe", 1), ("☃", 1), ("b", 2), ("日本", 3))
    assert sorted(found) == [("b", 2), ("größe", 1)]


def test_deleted_rows_cost_no_statement_each(source: Source):
    """Deletes are what is mostly not found; one by one they would take a hundred times as long."""
    source.run("CREATE TABLE t (k VARCHAR(9) PRIMARY KEY)", "INSERT INTO t VALUES ('k1'), ('k600')")
    source.run("CREATE TABLE n (k INT PRIMARY KEY)", "INSERT INTO n VALUES (1), (600)")
    with statements(source.rows) as seen:
        assert len(source.fetch("n", *((n,) for n in range(1000)))) == 2
    assert len([one for one, _ in seen if "`n`" in one and "IN (" in one]) == 2
    with statements(source.rows) as seen:
        assert len(source.fetch("t", *((f"k{n}",) for n in range(1000)))) == 2
    assert len([one for one, _ in seen if "`t`" in one and "IN (" in one]) == 4


# -- values

VALUES: list[tuple[str, str, Any, tuple[str, ...]]] = [
    # (column, SQL, Python, servers)
    ("TINYINT", "-1", -1, ()),
    ("BOOL", "1", 1, ()),
    ("BIGINT UNSIGNED", "18446744073709551615", (1 << 64) - 1, ()),
    ("YEAR", "2026", 2026, ()),
    ("DECIMAL(65,30)", f"{'9' * 35}.{'1' * 30}", Decimal(f"{'9' * 35}.{'1' * 30}"), ()),
    ("DECIMAL(10,2)", "1.5", Decimal("1.50"), ()),
    ("FLOAT", "16777215", 16777215.0, ()),
    ("FLOAT", "0.1", 0.10000000149011612, ()),
    ("DOUBLE", "2.2250738585072014e-308", 2.2250738585072014e-308, ()),
    ("DOUBLE", "0.30000000000000004", 0.30000000000000004, ()),
    ("BIT(1)", "1", 1, ()),
    ("BIT(64)", "18446744073709551615", (1 << 64) - 1, ()),
    ("DATE", "'2026-01-02'", date(2026, 1, 2), ()),
    ("DATE", "'0000-00-00'", "0000-00-00", ()),
    ("DATE", "'2026-00-00'", "2026-00-00", ()),
    ("DATETIME(3)", "'2026-01-02 03:04:05.120'", datetime(2026, 1, 2, 3, 4, 5, 120000), ()),  # noqa: DTZ001
    ("DATETIME", "'0000-00-00'", "0000-00-00 00:00:00", ()),
    ("TIMESTAMP(6) NULL", "FROM_UNIXTIME(1.5)", datetime(1970, 1, 1, 0, 0, 1, 500000), ()),  # noqa: DTZ001
    ("TIMESTAMP NULL", "'0000-00-00'", "0000-00-00 00:00:00", ()),
    ("TIME(1)", "'-838:59:58.5'", -timedelta(hours=838, minutes=59, seconds=58.5), ()),
    ("TIME", "'30:00:00'", timedelta(hours=30), ()),
    ("CHAR(9) CHARACTER SET latin1", "'größe'", "größe", ()),
    ("VARCHAR(9) CHARACTER SET utf8mb4", "'😀 '", "😀 ", ()),
    ("LONGTEXT", "'日本'", "日本", ()),
    ("ENUM('a','b')", "'b'", "b", ()),
    ("SET('z','a','m')", "'m,z'", "z,m", ()),
    ("SET('z','a')", "''", "", ()),
    ("BINARY(4)", "X'41'", b"A\0\0\0", ()),
    ("VARBINARY(4)", "X'FF00'", b"\xff\0", ()),
    ("LONGBLOB", "X'FF00'", b"\xff\0", ()),
    ("JSON", """'{"b": 1.10}'""", '{"b": 1.1}', MYSQL),
    ("JSON", """'{"b": 1.10}'""", '{"b": 1.10}', MARIADB),
    ("POINT", "POINT(1, 2)", bytes.fromhex("00000000 01 01000000 000000000000f03f 0000000000000040"), ()),
    ("VECTOR(2)", "STRING_TO_VECTOR('[1,2]')", bytes.fromhex("0000803f00000040"), ("mysql9",)),
    ("UUID", "'123e4567-e89b-12d3-a456-426655440000'", "123e4567-e89b-12d3-a456-426655440000", MARIADB),
    ("INET6", "'::1'", "::1", MARIADB),
    ("INET4", "'10.0.0.1'", "10.0.0.1", MARIADB),
]


def test_values_come_as_promised_and_nothing_is_rounded_or_lost(source: Source):
    """What is rounded here is rounded in every target."""
    cases = [one for one in VALUES if not one[3] or source.server in one[3]]
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(cases))
    values = ", ".join(value for _, value, *_ in cases)
    source.run(f"CREATE TABLE t (id INT PRIMARY KEY, {columns})", f"INSERT INTO t VALUES (1, {values})",
               "INSERT INTO t (id) VALUES (2)")  # fmt: skip
    found = source.fetch("t", (1,), (2,))
    wrong = [
        f"{kind} {value}: {row!r} instead of {expected!r}"
        for (kind, value, expected, _), row in zip(cases, list(found[1,].values())[1:], strict=True)
        if repr(row) != repr(expected)
    ]
    assert wrong == []
    assert set(list(found[2,].values())[1:]) == {None}


def test_columns_that_a_star_leaves_out_are_there(source: Source):
    """A replica without them is no replica."""
    source.run(
        "CREATE TABLE t (a INT PRIMARY KEY, b INT DEFAULT 5 INVISIBLE, c INT AS (a + 1))",
        "INSERT INTO t (a) VALUES (1)",
    )
    assert source.fetch("t", (1,)) == {(1,): {"a": 1, "b": 5, "c": 2}}


# -- keys that are not plain primary keys


def test_the_parts_of_a_key_are_in_its_own_order(source: Source):
    """Taken in the order of the columns, (1, 2) would be the row (2, 1)."""
    source.run("CREATE TABLE t (a INT, b INT, v INT, PRIMARY KEY (b, a))", "INSERT INTO t VALUES (1, 2, 7), (2, 1, 8)")
    assert source.fetch("t", (1, 2)) == {(1, 2): {"a": 2, "b": 1, "v": 8}}


def test_without_a_primary_key_the_unique_key_is_the_key_that_records_have(source: Source):
    """The records of such a table have this key; unanswered they would all be deletes."""
    source.run(
        "CREATE TABLE t (a INT, b INT NOT NULL, c INT NOT NULL, UNIQUE KEY a_first (a), UNIQUE KEY z (c, b))",
        "INSERT INTO t VALUES (1, 2, 3)",
    )
    assert source.fetch("t", (3, 2)) == {(3, 2): {"a": 1, "b": 2, "c": 3}}
    source.run("CREATE TABLE none (a INT)")
    for key in ((1,), ()):
        with pytest.raises(KeyMismatch, match="no columns at all"):
            source.fetch("none", key)


def test_keys_that_the_server_generated_and_hides_are_keys(source: Source):
    """SELECT * does not show them, and records have nothing else."""
    if source.server not in MYSQL:
        source.run(
            "CREATE TABLE t (hidden INT INVISIBLE AUTO_INCREMENT PRIMARY KEY, v INT)", "INSERT INTO t (v) VALUES (5)"
        )
        assert source.fetch("t", (1,)) == {(1,): {"hidden": 1, "v": 5}}
        return
    source.run("SET sql_generate_invisible_primary_key = ON", "CREATE TABLE t (v INT)", "INSERT INTO t VALUES (5)")
    assert source.fetch("t", (1,)) == {(1,): {"my_row_id": 1, "v": 5}}


def test_keys_too_long_for_one_statement_are_asked_with_more(source: Source):
    """A statement above max_allowed_packet ends the connection, each time it is tried again."""
    texts = [f"{n:03}" + "x" * 60_000 for n in range(400)]
    source.run("CREATE TABLE t (k MEDIUMTEXT, PRIMARY KEY (k(3)))")
    source.run(*(f"INSERT INTO t VALUES ('{text}')" for text in texts[::100]))
    with statements(source.rows) as seen:
        assert source.existing("t", *((text,) for text in texts)) == {(text,) for text in texts[::100]}
    assert max(len(sent) + sum(map(len, given)) for sent, given in seen) < 2_000_000


# -- tables that change


def test_columns_that_come_and_go_are_noticed_at_once(source: Source):
    """A column that is never seen is never replicated."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 2)")
    assert source.fetch("t", (1,)) == {(1,): {"k": 1, "v": 2}}
    for statement, row in {
        "ADD COLUMN w INT DEFAULT 3": {"k": 1, "v": 2, "w": 3},
        "DROP COLUMN v": {"k": 1, "w": 3},
        "CHANGE w x VARCHAR(9)": {"k": 1, "x": "3"},
        "CHANGE k key_ BIGINT": {"key_": 1, "x": "3"},
    }.items():
        source.run(f"ALTER TABLE t {statement}")
        assert source.fetch("t", (1,)) == {(1,): row}
    definition = source.rows.table(source.database, "t")
    assert definition is not None
    assert list(definition.columns.keys()) == ["key_", "x"]


def test_a_key_that_moved_to_another_column_is_noticed(source: Source):
    """Both are numbers, so nothing fails: asked by the old column, another row would be the answer."""
    source.run(
        "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a))", "INSERT INTO t VALUES (1, 2), (2, 1)"
    )
    assert source.fetch("t", (1,)) == {(1,): {"a": 1, "b": 2}}
    source.run("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b)")
    assert source.fetch("t", (1,)) == {(1,): {"a": 2, "b": 1}}
    source.run("ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (a, b)")
    assert source.existing("t", (1, 2)) == {(1, 2)}
    with pytest.raises(KeyMismatch, match=r"2 keys asked of .* another key than \(a, b\)") as refused:
        source.fetch("t", (1,), (1, 2), (2,))
    assert refused.value.pks == ((1,), (2,))


@pytest.mark.parametrize(
    "statement", ["DROP PRIMARY KEY, ADD PRIMARY KEY (b)", "ADD COLUMN c INT DEFAULT 7", "DROP COLUMN v"]
)
def test_a_table_that_is_altered_in_the_middle_is_asked_again(source: Source, statement: str):
    """Half of the rows by the old definition and half by the new one would be a mixture that never was."""
    source.run("CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, v INT, PRIMARY KEY (a))")
    source.run("INSERT INTO t VALUES (1, 2, 0), (2, 1, 0)")
    source.fetch("t", (1,))
    altered = threading.Event()

    def alter(_c: Any, _cursor: Any, sent: str, _p: Any, _context: Any, _many: bool) -> None:
        if " IN (" in sent and not altered.is_set():
            altered.set()
            source.run(f"ALTER TABLE t {statement}")

    event.listen(source.rows._engine, "before_cursor_execute", alter)
    event.listen(source.rows._engine, "after_cursor_execute", alter)
    found = source.fetch("t", (1,))
    assert altered.is_set()
    assert found == SourceRows.from_source(source.log.source).fetch(source.database, "t", [(1,)])


def test_a_dropped_table_has_no_rows_and_comes_back(source: Source):
    """Its records are still in Kafka; they must neither stop the replay nor bring rows back."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    assert source.existing("t", (1,)) == {(1,)}
    source.run("DROP TABLE t")
    assert source.fetch("t", (1,)) == {}
    assert source.existing("t", (1,)) == set()
    assert source.rows.table(source.database, "t") is None
    assert source.rows.fetch("no_such_database", "t", [(1,)]) == {}
    source.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 5)")
    assert source.fetch("t", (1,)) == {(1,): {"k": 1, "v": 5}}


ODD = [
    "a`b",
    "two words",
    "it's",
    'say "x"',
    "100%",
    "%s %(x)s %%",
    ":name",
    "a.b",
    "größe",
    "select",
    "UPPER",
    "back\\slash",
]


def test_odd_names_are_names(source: Source):
    """A name that gets into the statement unquoted is a hole; one that is refused is a table that nobody replicates."""
    for name in ODD:
        quoted = "`" + name.replace("`", "``") + "`"
        columns = f"{quoted} VARCHAR(9), f FLOAT, `v{quoted[1:]} BIT(2), PRIMARY KEY ({quoted}, f)"
        source.run(f"CREATE TABLE {quoted} ({columns})", f"INSERT INTO {quoted} VALUES ('k', 1, 2)")
        assert source.fetch(name, ("k", 1.0)) == {("k", 1.0): {name: "k", "f": 1.0, f"v{name}": 2}}
        assert source.existing(name, ("k", 1.0)) == {("k", 1.0)}
    database = f"{source.database}-%s `x`"
    source.run(f"CREATE DATABASE `{database.replace('`', '``')}`")
    try:
        source.run(f"CREATE TABLE `{database.replace('`', '``')}`.t (k INT NOT NULL, UNIQUE KEY u (k))")
        assert source.rows.fetch(database, "t", [(1,)]) == {}
        assert source.rows.table(database, "t") is not None
    finally:
        source.run(f"DROP DATABASE `{database.replace('`', '``')}`")


# -- many at a time


def test_many_keys_come_in_batches_and_each_once(source: Source):
    """A key that falls between two batches is a row that is taken for deleted."""
    source.run(
        "CREATE TABLE t (k INT PRIMARY KEY)", f"INSERT INTO t VALUES {', '.join(f'({n})' for n in range(0, 2000, 2))}"
    )
    pks = [(n,) for n in range(1999)]
    assert source.fetch("t", *pks, *pks) == {(n,): {"k": n} for n in range(0, 1999, 2)}
    assert source.fetch("t") == {}
    assert source.existing("t") == set()


def test_threads_share_the_reader(source: Source):
    """Workers of one replay; one that reads another's rows writes them under its own keys."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY, v INT)",
               f"INSERT INTO t VALUES {', '.join(f'({n}, {n})' for n in range(800))}")  # fmt: skip
    with ThreadPoolExecutor(8) as workers:
        asked = [[(n,) for n in range(start, 800, 40)] for start in range(40)]
        for pks, found in zip(asked, workers.map(lambda pks: source.fetch("t", *pks), asked), strict=True):
            assert found == {pk: {"k": pk[0], "v": pk[0]} for pk in pks}


# -- what goes wrong


def test_a_server_that_is_not_there_is_tried_again():
    """A restart of the source must not end the connectors."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    rows = SourceRows.from_source(SourceSettings(dsn=SecretStr(f"mysql://u:secret@127.0.0.1:{port}/")))
    with pytest.raises(TryAgain, match=f"127.0.0.1:{port} cannot be asked now") as refused:
        rows.fetch("d", "t", [(1,)])
    assert "secret" not in str(refused.value)


def test_a_lost_connection_is_replaced_and_a_killed_query_is_tried_again(source: Source):
    """The pool keeps connections that the server closed long ago."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with source.rows._engine.connect() as connection:
        number = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
    source.run(f"KILL {number}")
    assert source.existing("t", (1,)) == {(1,)}
    killing = []

    def kill(connection: Any, _cursor: Any, sent: str, _p: Any, _context: Any, _many: bool) -> None:
        if " IN (" in sent and not killing:
            killing.append(connection.connection.dbapi_connection.thread_id())
            source.run(f"KILL {killing[0]}")

    event.listen(source.rows._engine, "before_cursor_execute", kill)
    with pytest.raises(TryAgain):
        source.fetch("t", (1,))
    assert source.existing("t", (1,)) == {(1,)}


def test_a_locked_table_is_tried_again(source: Source):
    """LOCK TABLES, or an ALTER TABLE at work: the server would let the query wait for a year."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY)")
    source.fetch("t", (1,))
    with source.rows._engine.connect() as connection:
        assert 0 < connection.exec_driver_sql("SELECT @@lock_wait_timeout").scalar_one() <= 20
        connection.exec_driver_sql("SET lock_wait_timeout = 1")  # of the only connection in the pool
    with source.log.connect(source.database) as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLES t WRITE")
        with pytest.raises(TryAgain, match="Lock wait timeout"):
            source.fetch("t", (1,))


def test_refused_access_is_for_a_person(source: Source):
    """Tried again for ever, a wrong password is a connector that looks busy and does nothing."""
    source.run("CREATE TABLE t (k INT PRIMARY KEY)", "CREATE TABLE u (k INT PRIMARY KEY)")
    with source.account(f"SELECT ON {source.database}.t") as settings:
        rows = SourceRows.from_source(settings)
        assert rows.fetch(source.database, "t", [(1,)]) == {}
        with pytest.raises(ConfigError, match=r"refuses access.*\n.*grant the account SELECT"):
            rows.fetch(source.database, "u", [(1,)])
        with pytest.raises(ConfigError, match="refuses access"):
            rows.fetch("mysql", "user", [("localhost", "root")])
        assert settings.dsn is not None
        wrong = SecretStr(settings.dsn.get_secret_value().replace("Pw-", "Wrong-"))
        with pytest.raises(ConfigError, match=r"refuses access.*\n.*user and password") as refused:
            SourceRows.from_source(SourceSettings(dsn=wrong)).fetch(source.database, "t", [(1,)])
        assert "Wrong-" not in str(refused.value)


def test_the_connection_is_encrypted_as_the_settings_say(source: Source):
    """Rows are personal data; the capture's own connection is no safer than this one."""
    with SourceRows.from_source(source.settings(tls_mode="disabled"))._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1] == ""
    required = SourceRows.from_source(source.settings(tls_mode="required"))
    assert required.table(source.database, "t") is None
    with required._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1] != ""
    with pytest.raises(ConfigError, match=r"the TLS connection to .* failed"):
        SourceRows.from_source(source.settings(tls_mode="verify_ca")).table(source.database, "t")


def test_rows_do_not_come_unencrypted_where_encryption_is_required(tmp_path: Path):
    """PyMySQL goes on in clear text, password and all rows, when the server offers nothing else."""
    with native.mariadb(tmp_path, ["skip_ssl"]) as server:
        rows = SourceRows.from_source(SourceSettings(dsn=SecretStr(server.dsn), tls_mode="required"))
        with pytest.raises(ConfigError, match=r"does not speak TLS|server doesn't support it"):
            rows.table("mysql", "user")


# -- other databases


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as session, session:
        session.executescript(
            """
            CREATE TABLE "odd %s name" (b TEXT, a INTEGER, v NUMERIC(10, 2), PRIMARY KEY (a, b));
            INSERT INTO "odd %s name" VALUES ('x', 1, 1.5), ('y', 1, 2.5);
            CREATE TABLE day (d DATE PRIMARY KEY, at TIMESTAMP);
            INSERT INTO day VALUES ('2026-01-02', '2026-01-02 03:04:05.000000');
            CREATE TABLE moment (at DATETIME PRIMARY KEY);
            INSERT INTO moment VALUES ('2026-01-02 03:04:05.120000');
            """
        )
    return path


def test_sqlite_is_read_too(file: Path):
    """The smallest source and target there is, for trying things out."""
    with closing(SourceRows(f"sqlite:///{file}")) as rows:
        assert rows.fetch("main", "odd %s name", [(1, "y"), (1, "z")]) == {
            (1, "y"): {"b": "y", "a": 1, "v": Decimal("2.50")}
        }
        moment = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
        assert rows.fetch("main", "day", [("2026-01-02",), ("2026-01-03",)]) == {
            ("2026-01-02",): {"d": date(2026, 1, 2), "at": moment}
        }
        assert rows.existing("main", "moment", [("2026-01-02T03:04:05.120",)]) == {("2026-01-02T03:04:05.120",)}
        assert rows.fetch("main", "nothing", [(1,)]) == {}
        assert rows.table("main", "nothing") is None
        with closing(sqlite3.connect(file)) as session:
            session.execute("ALTER TABLE day ADD COLUMN more INTEGER DEFAULT 4")
        assert rows.fetch("main", "day", [("2026-01-02",)])[("2026-01-02",)]["more"] == 4


def test_a_locked_sqlite_is_tried_again(file: Path):
    """Another program writes to it."""
    rows = SourceRows(f"sqlite:///{file}", {"timeout": 0})
    with closing(sqlite3.connect(file)) as session:
        session.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TryAgain, match="locked"):
            rows.existing("main", "day", [("2026-01-02",)])
