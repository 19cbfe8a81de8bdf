"""
The values of whole rows, of every type, against what SELECT says on the same server.

The types are those of the keys, and those that no key has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from meepo2_cdc.records import Action
from meepo2_cdc.records.row_change import RowChange
from tests.integration.test_key_types import (
    BYTES,
    DIGITS,
    KEYS,
    MARIADB,
    MODES,
    MYSQL,
    TEXT,
    ZONE,
    Key,
    _differences,
    quoted,
)
from tests.reading import Log
from tests.rows import rows_of
from tests.sources import Run, known_sources, source_run

TOGETHER = 9
"""Columns of one table: their nulls make more patterns than one byte holds."""

DOUBLES = (
    "0.0", "-0.0", "1.0", "-1.5", "0.1", "1e15", "123456789012345.0", "1234567890123456.0", "1e16", "1.5e16", "1e17",
    "12345678901234567890.0", "1e22", "1.7976931348623157e308", "5e-324", "1e-4", "1e-5", "1.25e-7", "1e-14", "1.5e-15",
    "1e-16", "100.0", "3.141592653589793", "1e100", "999999999999999.9", "0.30000000000000004",
)  # fmt: skip
JSONS = [
    *quoted(
        "null", "true", "false", "0", "-1", "32767", "-32768", "65535", "65536", "-2147483648", "4294967295",
        "4294967296", "-9223372036854775808", "9223372036854775807", "18446744073709551615", '""', '"größe 😀"',
        '"q\\"b\\\\s/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f"', "[]", "{}",
        '{"b": 1, "a": [1, 2, {"": null}], "größe": {}}',
        "[[[[1]]], 70000, -70000, true]", '{"aa": 1, "b": 2, "c": [false, null, 1.5]}',
    ),
    *(f"CAST('{number}' AS JSON)" for number in DOUBLES),
    "JSON_OBJECT('d', CAST('2020-01-02' AS DATE), 't', CAST('-12:00:01.5' AS TIME(6)))",
    "JSON_ARRAY(CAST('838:59:59' AS TIME), CAST('00:00:00' AS TIME))",
    "JSON_ARRAY(CAST('2020-01-02 03:04:05.123456' AS DATETIME(6)), CAST('1000-01-01' AS DATETIME))",
    "JSON_ARRAY(CAST(12.50 AS DECIMAL(10, 2)), CAST(-0.001 AS DECIMAL(30, 10)), 12345678901234567890.5, 0.0)",
    "JSON_ARRAY(CAST('abc' AS BINARY), X'00FF', b'101', REPEAT(CAST('x' AS BINARY), 200))",
    "JSON_OBJECT('long', REPEAT('x', 70000), 'i', 70000, 'u', 4294967295, 's', -3, 'n', NULL, 'd', 0.5)",
    "CAST(CONCAT('[', REPEAT('123456,', 20000), '\"end\"]') AS JSON)",
    "JSON_OBJECT(REPEAT('k', 200), REPEAT('v', 300), 'x', REPEAT('y', 20000))",
]  # fmt: skip
SHAPES = (
    "ST_GeomFromText('POINT(1 2)')",
    "ST_GeomFromText('LINESTRING(0 0,1 1,2 2)', 4326)",
    "ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0))')",
    "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')",
)


def others() -> Iterator[Key]:
    """What no key has."""
    yield Key("JSON", JSONS, DIGITS, MYSQL)
    yield Key("JSON", quoted('{"b": 1,  "a": "größe 😀"}', "[1, 2]"), TEXT, MARIADB)
    for kind in ("GEOMETRY", "GEOMETRY NOT NULL DEFAULT (POINT(0, 0))"):
        yield Key(kind.split()[0], SHAPES, BYTES)
    yield Key("POINT", ["POINT(1.5, -2)"], BYTES)
    yield Key("VECTOR(3)", ["STRING_TO_VECTOR('[1,-2.5,3e10]')"], BYTES, ("mysql9",))
    for kind in ("MEDIUMTEXT", "LONGTEXT"):
        yield Key(f"{kind} CHARACTER SET utf8mb4", ["REPEAT('😀', 30000)", "''"], TEXT)
    yield Key("TEXT CHARACTER SET koi8r", quoted("жд", ""), TEXT)
    yield Key("LONGBLOB", ["REPEAT(X'00FF', 50000)", "''"], BYTES)
    for kind in ("VARCHAR(500) COMPRESSED CHARACTER SET utf8mb4", "LONGTEXT COMPRESSED CHARACTER SET utf8mb4"):
        yield Key(kind, ["''", "'short'", "REPEAT('größe', 80)", "REPEAT('x', 499)"], TEXT, MARIADB)
    for kind in ("VARBINARY(500) COMPRESSED", "BLOB COMPRESSED"):
        yield Key(kind, ["''", "X'00'", "REPEAT(X'00FF', 200)", "REPEAT('z', 450)"], BYTES, MARIADB)


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with source_run(request.param, "full") as found:
        yield found


every_server = pytest.mark.parametrize("run", known_sources(), indirect=True, scope="module")


class Tables:
    """Several columns to a table, as many rows as the longest list of values; null where there are no more."""

    def __init__(self, log: Log, database: str, columns: Sequence[Key]) -> None:
        self._log, self._database = log, database
        self.tables = [columns[n : n + TOGETHER] for n in range(0, len(columns), TOGETHER)]

    def create(self) -> None:
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{MODES}', time_zone = '{ZONE}'")
            for number, columns in enumerate(self.tables):
                declared = ", ".join(f"k{n} {_nullable(key.declared)}" for n, key in enumerate(columns))
                cursor.execute(
                    f"CREATE TABLE r{number} ({declared}, n SMALLINT PRIMARY KEY, z TINYINT) CHARACTER SET utf8mb4"
                )

    def change(self) -> None:
        """Each row is written, updated beside these columns, and in the end deleted."""
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{MODES}', time_zone = '{ZONE}'")
            for number, columns in enumerate(self.tables):
                cursor.execute("BEGIN")
                for n in range(max(len(key.values) for key in columns)):
                    values = ", ".join(key.values[n] if n < len(key.values) else "NULL" for key in columns)
                    cursor.execute(f"INSERT IGNORE INTO r{number} VALUES ({values}, {n}, NULL)")
                cursor.execute(f"UPDATE r{number} SET z = 1 ORDER BY n")
                cursor.execute("COMMIT")

    def delete(self) -> None:
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            for number in range(len(self.tables)):
                cursor.execute(f"DELETE FROM r{number} ORDER BY n")

    def selected(self, number: int) -> list[dict[str, Any]]:
        columns = self.tables[number]
        shown = [re.sub(r"\bk\b", f"k{n}", key.form.select) for n, key in enumerate(columns)]
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(f"SELECT {', '.join(shown)}, n, z FROM r{number} ORDER BY n")
            return [
                {
                    **{f"k{n}": None if row[n] is None else key.form.part(row[n]) for n, key in enumerate(columns)},
                    "n": row[-2],
                    "z": row[-1],
                }
                for row in cursor.fetchall()
            ]


def _nullable(declared: str) -> str:
    return f"{declared} NULL" if declared.startswith("TIMESTAMP") else declared


@every_server
def test_every_value_of_a_row_is_carried_as_select_shows_it(run: Run):
    """A consumer that has no source to ask takes what is in the record for the truth."""
    log, server, _ = run
    columns = [key for key in [*KEYS, *others()] if server in key.servers]
    with log.database() as database, rows_of(log, database) as reader:
        tables = Tables(log, database, columns)
        tables.create()
        tables.change()
        changed = reader.up_to(log.end())
        selected = [tables.selected(number) for number in range(len(tables.tables))]
        tables.delete()
        deleted = reader.up_to(log.end())
    wrong: list[str] = []
    for number, (rows, keys) in enumerate(zip(selected, tables.tables, strict=True)):
        written = [row | {"z": None} for row in rows]
        for action, images, expected in (
            (Action.WRITE, [one.after for one in _of(changed[f"r{number}"], Action.WRITE)], written),
            (Action.UPDATE, [one.before for one in _of(changed[f"r{number}"], Action.UPDATE)], written),
            (Action.UPDATE, [one.after for one in _of(changed[f"r{number}"], Action.UPDATE)], rows),
            (Action.DELETE, [one.before for one in _of(deleted[f"r{number}"], Action.DELETE)], rows),
        ):
            assert len(images) == len(expected) > 0
            for n, key in enumerate(keys):
                got = [(image or {}).get(f"k{n}", "missing") for image in images]
                wrong += _differences(f"{key.declared} {action}", got, [row[f"k{n}"] for row in expected])
            assert [image and (image["n"], image["z"]) for image in images] == [(r["n"], r["z"]) for r in expected]
    assert wrong == []


def _of(changes: Sequence[RowChange], action: Action) -> list[RowChange]:
    found = [one for one in changes if one.action is action]
    assert all(one.before is None for one in found) == (action is Action.WRITE)
    assert all(one.after is None for one in found) == (action is Action.DELETE)
    return found
