"""
Every type that a key can have, as a record carries it, against what SELECT says on the same server.

The server is the oracle: what is expected is computed by its own conversions, never by our decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pytest

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import Action, KeyPart
from tests.reading import Log, reading
from tests.sources import MARIADB, MYSQL, Run, every_run, source_run

MODES = "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"
ZONE = "+08:00"


@dataclass(frozen=True)
class Form:
    """How a kind of column is read for comparison: an SQL expression over `k`, and what makes the key part of it."""

    select: str
    part: Callable[[Any], KeyPart]


def whole(number: Any) -> KeyPart:
    """Above a long, the digits."""
    return int(number) if int(number) < 1 << 63 else str(int(number))


INTEGER = Form("k", whole)
TEXT = Form("CONVERT(k USING utf8mb4)", str)
DIGITS = Form("CAST(k AS CHAR)", str)
BYTES = Form("HEX(k)", bytes.fromhex)
FLOAT = Form("CAST(k AS DOUBLE)", float)
MOMENT = Form("REPLACE(CAST(k AS CHAR), ' ', 'T')", str)


def utc(text: str) -> str:
    return text if text.startswith("0000") else f"{text}Z"


INSTANT = Form("REPLACE(CAST(k AS CHAR), ' ', 'T')", utc)


def bits(width: int) -> Form:
    return Form(f"LPAD(HEX(k), {(width + 7) // 8 * 2}, '0')", bytes.fromhex)


@dataclass(frozen=True)
class Key:
    """A column that is a key: its declaration, its values as SQL, how they are compared, which servers have it."""

    declared: str
    values: Sequence[str]
    form: Form
    servers: tuple[str, ...] = MYSQL + MARIADB
    prefix: str = ""

    def __str__(self) -> str:
        return self.declared


def quoted(*texts: str) -> list[str]:
    return ["'" + text.replace("\\", "\\\\").replace("'", "''") + "'" for text in texts]


def integers() -> Iterator[Key]:
    for name, size in (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)):
        half, near = 1 << size - 1, (63, 64, 8191, 8192, -64, -65)
        signed = {-half, -1, 0, 1, half - 1, *(n for n in near if -half <= n < half)}
        unsigned = {0, 1, half - 1, half, 2 * half - 1, *(n for n in near if 0 <= n < half)}
        yield Key(name, [str(n) for n in sorted(signed)], INTEGER)
        yield Key(f"{name} UNSIGNED", [str(n) for n in sorted(unsigned)], INTEGER)
    yield Key("INT(7) UNSIGNED ZEROFILL", ["0", "12", "4294967295"], Form("k + 0", whole))
    yield Key("BOOL", ["0", "1", "-128"], INTEGER)
    yield Key("YEAR", ["0", "1901", "1970", "2000", "2155", "'0000'"][:5], INTEGER)


def decimals() -> Iterator[Key]:
    shapes = (
        (1, 0),
        (5, 5),
        (9, 0),
        (9, 9),
        (10, 0),
        (10, 2),
        (18, 9),
        (19, 10),
        (30, 30),
        (38, 20),
        (65, 0),
        (65, 30),
    )
    for precision, scale in shapes:
        digits = "9876543210" * 7
        whole_part, fraction = digits[: precision - scale] or "0", digits[1 : 1 + scale]
        number = whole_part + ("." + fraction if scale else "")
        least = "0." + "0" * (scale - 1) + "1" if scale else "1"
        most = "9" * (precision - scale) + ("." + "9" * scale if scale else "")
        values = ["0", number, f"-{number}", least, f"-{least}", most, f"-{most}"]
        yield Key(f"DECIMAL({precision},{scale})", values, DIGITS)
    yield Key("DECIMAL(10,3) UNSIGNED", ["0", "1.5", "9999999.999", "0.001", "12"], DIGITS)


def numbers() -> Iterator[Key]:
    tenths = ["0", "0.1", "-0.1", "1.5", "16777216", "3.4e38", "-1e-30", "123456.789"]
    yield Key("FLOAT", tenths, FLOAT)
    yield Key("FLOAT(9,3)", ["0", "0.1", "123456.789"], FLOAT)
    yield Key("DOUBLE", [*tenths, "1.7976931348623157e308", "2.2250738585072014e-308", "0.30000000000000004"], FLOAT)
    for width in (1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 63, 64):
        values = {0, 1, (1 << width) - 1, 1 << width - 1}
        yield Key(f"BIT({width})", [f"b'{value:b}'" for value in sorted(values)], bits(width))


def times() -> Iterator[Key]:
    yield Key(
        "DATE", quoted("0000-00-00", "1000-01-01", "1969-12-31", "2024-02-29", "9999-12-31", "2026-00-00"), DIGITS
    )
    for digits in range(7):
        fraction = "." + "987654"[:digits] if digits else ""
        small = "." + "000001"[-digits:] if digits else ""
        clocks = ["00:00:00", f"23:59:59{fraction}", f"-12:00:01{fraction}", "-838:59:59", "838:59:59", "-00:00:01"]
        yield Key(
            f"TIME({digits})", quoted(*clocks, *([f"-00:00:00{small}", f"00:00:00{small}"] if digits else [])), DIGITS
        )
        days = [
            "0000-00-00 00:00:00",
            f"1000-01-01 00:00:00{small}",
            f"2026-01-02 03:04:05{fraction}",
            f"9999-12-31 23:59:59{fraction}",
            "2026-00-00 00:00:00",
        ]
        yield Key(f"DATETIME({digits})", quoted(*dict.fromkeys(days)), MOMENT)
        instants = [
            "0000-00-00 00:00:00",
            f"1970-01-01 08:00:01{fraction}",
            f"2026-07-01 00:00:00{fraction}",
            f"2038-01-19 11:14:07{small}",
        ]
        yield Key(f"TIMESTAMP({digits})", quoted(*instants), INSTANT)


def labels() -> Iterator[Key]:
    odd = ["", "a", "B b", "it''s", 'say "x"', "back\\\\slash", "größe", "日本", "percent%s", "(brackets)", "a''b''c"]
    enum = "ENUM(" + ",".join(f"'{label}'" for label in odd) + ")"
    numbers = [str(n + 1) for n in range(len(odd))]
    yield Key(f"{enum} CHARACTER SET utf8mb4", numbers, TEXT)
    yield Key("ENUM('a','b','c,d') CHARACTER SET latin1", ["1", "2", "3", "'no label'"], TEXT)
    many = ",".join(f"'n{n}'" for n in range(300))
    yield Key(f"ENUM({many})", ["1", "2", "255", "256", "257", "300"], TEXT)
    yield Key("ENUM('é','ä','') CHARACTER SET latin1", ["1", "2", "3"], TEXT)
    for charset, texts in {
        "gbk": "中文",
        "utf16": "héé",
        "ucs2": "日",
        "utf32": "☃x",
        "koi8r": "жд",
        "sjis": "カナ",
    }.items():
        yield Key(
            f"ENUM('{texts[0]}','{texts[1:]}','x') CHARACTER SET {charset}",
            ["1", "2", "3"][: len(set(texts)) + 1],
            TEXT,
        )
        yield Key(f"SET('{texts[0]}','q','x') CHARACTER SET {charset}", [str(n) for n in range(8)], TEXT)
    some = "SET(" + ",".join(f"'{label}'" for label in odd if label and "," not in label) + ")"
    yield Key(f"{some} CHARACTER SET utf8mb4", ["0", "1", "3", "512", "1023", "0b1010101010"], TEXT)
    for count in (1, 8, 9, 16, 17, 24, 25, 32, 33, 64):
        declared = "SET(" + ",".join(f"'s{n}'" for n in range(count)) + ")"
        yield Key(declared, [str(n) for n in sorted({0, 1, (1 << count) - 1, 1 << count - 1})], TEXT)


def binaries() -> Iterator[Key]:
    yield Key("BINARY(1)", ["X'00'", "X'20'", "X'FF'"], BYTES)
    yield Key(
        "BINARY(16)", ["''", "X'00FF0000'", "X'20202020'", f"X'{'00' * 15}01'", f"X'{'FF' * 16}'", "'text'"], BYTES
    )
    yield Key("BINARY(255)", ["''", "'x'", f"X'{'41' * 255}'"], BYTES)
    yield Key("VARBINARY(20)", ["''", "X'00'", "X'0000'", "X'4100'", "X'20'", f"X'{'00' * 20}'"], BYTES)
    yield Key("VARBINARY(300)", ["''", "X'00'", "REPEAT('x', 300)", "REPEAT('y', 256)"], BYTES)
    yield Key("CHAR(5) CHARACTER SET binary", ["''", "X'4100'", "X'4120'"], BYTES)
    for kind in ("TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"):
        yield Key(kind, ["''", "X'00'", "X'4142434400FF'", "X'414243'", "REPEAT('z', 200)"], BYTES, prefix="(10)")
    for kind in ("TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"):
        yield Key(
            f"{kind} CHARACTER SET utf8mb4",
            quoted("", "a", "größe", "日本 😀", "longer than its prefix"),
            TEXT,
            prefix="(3)",
        )
    yield Key("TEXT CHARACTER SET latin1", quoted("", "ä", "größe"), TEXT, prefix="(3)")


def texts() -> Iterator[Key]:
    spaces = ["''", "'a'", "'b  '", "'  c'", "'d\te'", "'😀'", "REPEAT('ä', 10)"]
    for kind in ("CHAR", "VARCHAR"):
        yield Key(f"{kind}(10) CHARACTER SET utf8mb4", spaces, TEXT)
        yield Key(f"{kind}(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", spaces, TEXT)
    yield Key("CHAR(255) CHARACTER SET utf8mb4", ["REPEAT('😀', 255)", "''", "REPEAT('a', 255)"], TEXT)
    yield Key("CHAR(200) CHARACTER SET utf8mb3", ["REPEAT('日', 200)", "''", "'a'"], TEXT)
    yield Key("CHAR(120) CHARACTER SET utf32", ["REPEAT('😀', 120)", "''", "'a'"], TEXT)
    yield Key("VARCHAR(64) CHARACTER SET utf8mb4", ["REPEAT('😀', 64)", "''", "'b '"], TEXT)
    yield Key("VARCHAR(63) CHARACTER SET utf8mb4", ["REPEAT('😀', 63)", "''", "'b '"], TEXT)
    yield Key("VARCHAR(9) CHARACTER SET latin1", ["_latin1 X'80'", "_latin1 X'818D8F909D'", "_latin1 X'FF7F'"], TEXT)
    yield Key("CHAR(9) CHARACTER SET latin1", ["_latin1 X'80'", "_latin1 X'818D8F909D'", "_latin1 X'A0'"], TEXT)
    yield Key("VARCHAR(9) CHARACTER SET sjis", ["_sjis X'815F'", "_sjis X'8260'", "_sjis X'B1'"], TEXT)
    yield Key("VARCHAR(9) CHARACTER SET ujis", ["_ujis X'A1C0'", "_ujis X'8FB0A1'", "_ujis X'8EB1'"], TEXT)
    yield Key("VARCHAR(9) CHARACTER SET eucjpms", ["_eucjpms X'A1C0'", "_eucjpms X'8FB0A1'", "_eucjpms X'8EB1'"], TEXT)
    yield Key("VARCHAR(9) CHARACTER SET gb18030", ["_gb18030 X'A8BC'", "_gb18030 X'8135F437'"], TEXT, MYSQL)
    yield Key("VARCHAR(700) CHARACTER SET ascii", ["REPEAT('x', 700)", "''", "'b '"], TEXT)
    yield Key("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", ["'b'", "'b '"], TEXT, MYSQL)
    yield Key("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci", ["'b'", "'c '"], TEXT, MARIADB)


def mariadb_types() -> Iterator[Key]:
    uuids = (
        "00000000-0000-0000-0000-000000000000",
        "123e4567-e89b-12d3-a456-426655440000",
        "550e8400-e29b-41d4-a716-446655440000",
        "6ccd780c-baba-1026-9564-5b8c656024db",
        "01890a5d-ac96-774b-bcce-b302099a8000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "1ec9414c-232a-6b00-b3c8-9e6bdeced846",
        "00000000-0000-1000-8000-000000000000",
    )
    yield Key("UUID", quoted(*uuids), DIGITS, MARIADB)
    inet6 = (
        "::",
        "::1",
        "2001:db8::1:0:0:1",
        "2001:db8::",
        "::ffff:192.0.2.128",
        "::192.0.2.128",
        "::ffff:0:1",
        "1::",
        "::1:0",
        "::10.0.0.1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:0:0:1::",
        "1:0:2:0:3:0:4:0",
        "0:0:0:1::",
        "fe80::1",
    )
    yield Key("INET6", quoted(*inet6), DIGITS, MARIADB)
    yield Key("INET4", quoted("0.0.0.0", "127.0.0.1", "10.1.0.0", "255.255.255.255"), DIGITS, MARIADB)  # noqa: S104


KEYS = [
    *integers(),
    *decimals(),
    *numbers(),
    *times(),
    *labels(),
    *binaries(),
    *texts(),
    *mariadb_types(),
]


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with source_run(*request.param) as found:
        yield found


class Tables:
    """One table for each key, filled in one transaction in a session of another time zone."""

    def __init__(self, log: Log, database: str) -> None:
        self._log, self._database = log, database

    def create(self, keys: Sequence[Key]) -> None:
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{MODES}', time_zone = '{ZONE}'")
            for number, key in enumerate(keys):
                cursor.execute(
                    f"CREATE TABLE k{number} (n SMALLINT UNSIGNED NOT NULL, a VARCHAR(300), k {key.declared},"
                    f" z TEXT, PRIMARY KEY (k{key.prefix})) DEFAULT CHARACTER SET utf8mb4"
                )

    def fill(self, keys: Sequence[Key]) -> None:
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{MODES}', time_zone = '{ZONE}'")
            cursor.execute("BEGIN")
            for number, key in enumerate(keys):
                rows = ", ".join(
                    f"({n}, {_beside(n)}, {value}, {_beside(n + 1)})" for n, value in enumerate(key.values)
                )
                cursor.execute(f"INSERT IGNORE INTO k{number} (n, a, k, z) VALUES {rows}")
                cursor.execute(f"UPDATE k{number} SET z = 'changed', a = NULL ORDER BY n")
            cursor.execute("COMMIT")

    def selected(self, keys: Sequence[Key]) -> list[list[KeyPart]]:
        """What SELECT shows of each table, in the order of insertion."""
        with self._log.connect(self._database) as session, session.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            found = []
            for number, key in enumerate(keys):
                cursor.execute(f"SELECT {key.form.select} FROM k{number} ORDER BY n")
                found.append([key.form.part(row[0]) for row in cursor.fetchall()])
        return found


def _beside(n: int) -> str:
    return ("NULL", "''", "'beside'", "REPEAT('x', 280)")[n % 4]


@every_run
def test_every_type_of_key_is_carried_as_select_shows_it(run: Run):
    """A key that differs from the source's by one character names no row, or another one."""
    log, server, _ = run
    keys = [key for key in KEYS if server in key.servers]
    with log.database() as database, reading(log, database) as reader:
        tables = Tables(log, database)
        tables.create(keys)
        tables.fill(keys)
        carried: dict[tuple[str, Action], list[tuple[KeyPart, ...]]] = {}
        for read in reader.up_to(log.end()):
            carried.setdefault((read.action.table, read.action.action), []).append(read.action.pk)
        wrong: list[str] = []
        for number, (key, parts) in enumerate(zip(keys, tables.selected(keys), strict=True)):
            expected = [(part,) for part in parts]
            assert len(expected) * 2 > len(key.values), (
                key.declared
            )  # some are the same to the server, such as 9 and 9.0
            for action in (Action.WRITE, Action.UPDATE):
                got = carried.get((f"k{number}", action), [])
                wrong += _differences(f"{key.declared} {action}", got, expected)
    assert wrong == []


def _differences(what: str, got: list[Any], expected: list[Any]) -> list[str]:
    """By their spelling, in which 1 and 1.0 differ, and 0.0 and -0.0."""
    return [
        f"{what}: got {one!r}, SELECT shows {other!r}"
        for one, other in zip_longest(got, expected)
        if repr(one) != repr(other)
    ]


@every_run
def test_labels_that_the_server_cannot_show_are_refused_unless_the_log_has_them(run: Run):
    """information_schema shows '?' for an emoji: two labels, and their rows, would become one."""
    log, _, metadata = run
    with log.database() as database, reading(log, database) as reader:
        with log.connect(database) as session, session.cursor() as cursor:
            cursor.execute("CREATE TABLE t (k ENUM('😀', 'x') CHARACTER SET utf8mb4 PRIMARY KEY)")
            cursor.execute("INSERT INTO t VALUES (1), (2)")
            cursor.execute("SELECT k FROM t ORDER BY k + 0")
            labels = list(cursor.fetchall())
        if metadata == "full":
            assert [read.action.pk for read in reader.up_to(log.end())] == labels
            return
        with pytest.raises(UnreadableData, match="labels that are not known"):
            reader.up_to(log.end())


BESIDE = [
    # (columns beside the key, their values, servers)
    (
        "g GEOMETRY, p POINT, j JSON",
        "ST_GeomFromText('LINESTRING(0 0,1 1,2 2)'), POINT(1, 2), '{\"a\": [1, 2, 3]}'",
        (),
    ),
    ("y YEAR, y2 YEAR", "1999, 2001", ()),
    ("b BIT(1), y YEAR, d DECIMAL(9,3), f FLOAT, b2 BIT(17)", "1, 2000, 1.5, 2.5, 5", ()),
    (
        "e ENUM('a','b'), s SET('x','y'), t TIMESTAMP(3) NULL, d DATE",
        "'b', 'x,y', '2026-01-01 12:00:00', '2026-01-01'",
        (),
    ),
    ("v VECTOR(5), w VECTOR(300)", "STRING_TO_VECTOR('[1,2,3,4,5]'), NULL", ("mysql9",)),
    (
        "c VARCHAR(500) COMPRESSED, d TEXT COMPRESSED, e BLOB COMPRESSED, f VARBINARY(100) COMPRESSED",
        "REPEAT('abc', 100), REPEAT('x', 1000), 'y', REPEAT('z', 90)",
        MARIADB,
    ),
    ("u UUID, i INET6, j INET4", "UUID(), '::1', '10.0.0.1'", MARIADB),
    ("t TINYTEXT, m MEDIUMTEXT, l LONGTEXT, b LONGBLOB", "'t', REPEAT('m', 70000), 'l', REPEAT('b', 70000)", ()),
    ("c CHAR(255) CHARACTER SET utf8mb4, d BINARY(200)", "REPEAT('ä', 255), 'd'", ()),
]


@every_run
def test_columns_of_every_type_are_stepped_over_on_the_way_to_the_key(run: Run):
    """One byte too few or too many, and the key is read from the middle of something else."""
    log, server, _ = run
    beside = [(columns, values) for columns, values, servers in BESIDE if not servers or server in servers]
    with log.database() as database, reading(log, database) as reader:
        with log.connect(database) as session, session.cursor() as cursor:
            for number, (columns, values) in enumerate(beside):
                names = ", ".join(column.split()[0] for column in columns.split(", ") if " " in column)
                cursor.execute(
                    f"CREATE TABLE b{number} ({columns}, id INT UNSIGNED, name VARCHAR(20), big BIGINT UNSIGNED,"
                    " PRIMARY KEY (id, name, big))"
                )
                cursor.execute(
                    f"INSERT INTO b{number} ({names}, id, name, big)"
                    f" VALUES ({values}, 4000000000, 'key', 9223372036854775807)"
                )
                cursor.execute(f"INSERT INTO b{number} (id, name, big) VALUES (7, 'nulls', 18446744073709551615)")
        got = [(read.action.table, read.action.pk) for read in reader.up_to(log.end())]
    rows = [(4000000000, "key", 9223372036854775807), (7, "nulls", "18446744073709551615")]
    assert got == [(f"b{number}", row) for number in range(len(beside)) for row in rows]


COMPOSITES = [
    # an integer of each kind behind a column whose place in the server's list of numbers is in doubt
    "y YEAR, {} SIGNED",
    "y YEAR, b BIT(3), {} UNSIGNED",
    "d DECIMAL(5,1), y YEAR, f FLOAT, {} UNSIGNED",
    "e ENUM('a','b'), {} UNSIGNED",
    "t TIMESTAMP NULL, {} UNSIGNED",
    "b BOOL, {} UNSIGNED",
    "d DOUBLE, {} SIGNED",
]


@every_run
def test_signs_are_taken_from_the_right_column(run: Run):
    """Signedness travels as one bit for each numeric column; miscounted, -1 becomes 4294967295."""
    log, _, _ = run
    columns = [text.format("i INT").replace(" SIGNED", "") + ", u INT UNSIGNED, s INT" for text in COMPOSITES]
    with log.database() as database, reading(log, database) as reader:
        with log.connect(database) as session, session.cursor() as cursor:
            for number, text in enumerate(columns):
                cursor.execute(f"CREATE TABLE c{number} ({text}, PRIMARY KEY (i, u, s))")
                unsigned = "i INT UNSIGNED" in text
                cursor.execute(
                    f"INSERT INTO c{number} (i, u, s) VALUES ({4294967295 if unsigned else -1}, 4294967295, -1)"
                )
        got = [read.action.pk for read in reader.up_to(log.end())]
    assert got == [(4294967295 if "i INT UNSIGNED" in text else -1, 4294967295, -1) for text in columns]
