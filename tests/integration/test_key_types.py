"""
Every type that a key can have, as a record carries it, against what SELECT says on the same server.

The server is the oracle: what is expected is computed by its own conversions, never by our decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any

import pytest

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import Action, KeyPart
from tests.golden.case import METADATA
from tests.reading import Log, reading
from tests.sources import known_sources, source_log

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
    """A column that is a key: its declaration, its values as SQL, how it is compared, on which servers there is such."""

    declared: str
    values: Sequence[str]
    form: Form
    servers: tuple[str, ...] = ("mysql", "mysql9", "mariadb")
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
        days = ["0000-00-00 00:00:00", f"1000-01-01 00:00:00{small}", f"2026-01-02 03:04:05{fraction}",
                f"9999-12-31 23:59:59{fraction}", "2026-00-00 00:00:00"]  # fmt: skip
        yield Key(f"DATETIME({digits})", quoted(*dict.fromkeys(days)), MOMENT)
        instants = ["0000-00-00 00:00:00", f"1970-01-01 08:00:01{fraction}", f"2026-07-01 00:00:00{fraction}",
                    f"2038-01-19 11:14:07{small}"]  # fmt: skip
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
        "cp1251": "бг",
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
    yield Key(
        "VARCHAR(9) CHARACTER SET gb18030", ["_gb18030 X'A8BC'", "_gb18030 X'8135F437'"], TEXT, ("mysql", "mysql9")
    )
    yield Key("VARCHAR(700) CHARACTER SET ascii", ["REPEAT('x', 700)", "''", "'b '"], TEXT)
    yield Key(
        "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", ["'b'", "'b '"], TEXT, ("mysql", "mysql9")
    )
    yield Key("VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci", ["'b'", "'c '"], TEXT, ("mariadb",))


def mariadb_types() -> Iterator[Key]:
    uuids = ("00000000-0000-0000-0000-000000000000", "123e4567-e89b-12d3-a456-426655440000", "550e8400-e29b-41d4-a716-446655440000",
             "6ccd780c-baba-1026-9564-5b8c656024db", "01890a5d-ac96-774b-bcce-b302099a8000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
             "1ec9414c-232a-6b00-b3c8-9e6bdeced846", "00000000-0000-1000-8000-000000000000")  # fmt: skip
    yield Key("UUID", quoted(*uuids), DIGITS, ("mariadb",))
    inet6 = ("::", "::1", "2001:db8::1:0:0:1", "2001:db8::", "::ffff:192.0.2.128", "::192.0.2.128", "::ffff:0:1", "1::", "::1:0", "::10.0.0.1",
             "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:0:0:1::", "1:0:2:0:3:0:4:0", "0:0:0:1::", "fe80::1")  # fmt: skip
    yield Key("INET6", quoted(*inet6), DIGITS, ("mariadb",))
    yield Key("INET4", quoted("0.0.0.0", "127.0.0.1", "10.1.0.0", "255.255.255.255"), DIGITS, ("mariadb",))  # noqa: S104


KEYS = [
    *integers(), *decimals(), *numbers(), *times(), *labels(), *binaries(), *texts(), *mariadb_types(),
]  # fmt: skip


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[tuple[Log, str, str]]:
    """A server, with one of the two kinds of row metadata for as long as it is used."""
    server, metadata = request.param
    with closing(source_log(server)) as log, log.row_metadata(metadata.upper()):
        yield log, server, metadata


RUNS = [pytest.param(pair, id="-".join(pair)) for pair in ((s, m) for s in known_sources() for m in METADATA)]
every_run = pytest.mark.parametrize("run", RUNS, indirect=True, scope="module")


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
def test_every_type_of_key_is_carried_as_select_shows_it(run: tuple[Log, str, str]):
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
def test_labels_that_the_server_cannot_show_are_refused_unless_the_log_has_them(run: tuple[Log, str, str]):
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
        with pytest.raises(UnreadableData, match="labels of .* are not all known"):
            reader.up_to(log.end())


@every_run
def test_bytes_that_are_no_character_are_refused(run: tuple[Log, str, str]):
    """The server shows each of them as '?', so that rows with different keys would become one."""
    log, _, _ = run
    for charset, raw in {"big5": "A15A", "geostd8": "81", "swe7": "80", "gbk": "A140", "eucjpms": "A2AF"}.items():
        with log.database() as database, reading(log, database) as reader:
            log.ask(f"CREATE TABLE {database}.t (k VARCHAR(9) CHARACTER SET {charset} PRIMARY KEY)")
            log.ask(f"INSERT INTO {database}.t VALUES (_{charset} X'{raw}')")
            with pytest.raises(UnreadableData, match=f"no character of {charset}"):
                reader.up_to(log.end())


BESIDE = [
    # (columns beside the key, their values, servers)
    ("g GEOMETRY, p POINT, j JSON", "ST_GeomFromText('LINESTRING(0 0,1 1,2 2)'), POINT(1, 2), '{\"a\": [1, 2, 3]}'", ()),
    ("y YEAR, y2 YEAR", "1999, 2001", ()),
    ("b BIT(1), y YEAR, d DECIMAL(9,3), f FLOAT, b2 BIT(17)", "1, 2000, 1.5, 2.5, 5", ()),
    ("e ENUM('a','b'), s SET('x','y'), t TIMESTAMP(3) NULL, d DATE", "'b', 'x,y', '2026-01-01 12:00:00', '2026-01-01'", ()),
    ("v VECTOR(5), w VECTOR(300)", "STRING_TO_VECTOR('[1,2,3,4,5]'), NULL", ("mysql9",)),
    ("c VARCHAR(500) COMPRESSED, d TEXT COMPRESSED, e BLOB COMPRESSED, f VARBINARY(100) COMPRESSED",
     "REPEAT('abc', 100), REPEAT('x', 1000), 'y', REPEAT('z', 90)", ("mariadb",)),
    ("u UUID, i INET6, j INET4", "UUID(), '::1', '10.0.0.1'", ("mariadb",)),
    ("t TINYTEXT, m MEDIUMTEXT, l LONGTEXT, b LONGBLOB", "'t', REPEAT('m', 70000), 'l', REPEAT('b', 70000)", ()),
    ("c CHAR(255) CHARACTER SET utf8mb4, d BINARY(200)", "REPEAT('ä', 255), 'd'", ()),
]  # fmt: skip


@every_run
def test_columns_of_every_type_are_stepped_over_on_the_way_to_the_key(run: tuple[Log, str, str]):
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
                    f"INSERT INTO b{number} ({names}, id, name, big) VALUES ({values}, 4000000000, 'key', 9223372036854775807)"
                )
                cursor.execute(f"INSERT INTO b{number} (id, name, big) VALUES (7, 'nulls', 18446744073709551615)")
        got = [(read.action.table, read.action.pk) for read in reader.up_to(log.end())]
    rows = [(4000000000, "key", 9223372036854775807), (7, "nulls", "18446744073709551615")]
    assert got == [(f"b{number}", row) for number in range(len(beside)) for row in rows]


# Where a character set's characters lie, as a range for each of their bytes; the others are single bytes.
ONE, PAIR, KANA = (0, 0x7F), (0xA1, 0xFE), (0xA1, 0xDF)
BYTES_OF = {
    "big5": [(ONE,), ((0xA1, 0xF9), (0x40, 0xFE))],
    "gbk": [(ONE,), ((0x81, 0xFE), (0x40, 0xFE))],
    "gb2312": [(ONE,), ((0xA1, 0xF7), PAIR)],
    "gb18030": [(ONE,), ((0x81, 0xFE), (0x40, 0xFE)), ((0x81, 0x84), (0x30, 0x39), (0x81, 0xFE), (0x30, 0x39)),
                ((0x90, 0x90), (0x30, 0x33), (0x81, 0xFE), (0x30, 0x39)), ((0xE3, 0xE3), (0x30, 0x31), (0x81, 0xFE), (0x30, 0x39))],
    "euckr": [(ONE,), ((0x81, 0xFE), (0x41, 0xFE))],
    "sjis": [(ONE,), (KANA,), ((0x81, 0x9F), (0x40, 0xFC)), ((0xE0, 0xFC), (0x40, 0xFC))],
    "cp932": [(ONE,), (KANA,), ((0x81, 0x9F), (0x40, 0xFC)), ((0xE0, 0xFC), (0x40, 0xFC))],
    "ujis": [(ONE,), ((0x8E, 0x8E), KANA), (PAIR, PAIR), ((0x8F, 0x8F), PAIR, PAIR)],
    "eucjpms": [(ONE,), ((0x8E, 0x8E), KANA), (PAIR, PAIR), ((0x8F, 0x8F), PAIR, PAIR)],
    "ucs2": [((0, 0xD7), (0, 0xFF)), ((0xE0, 0xFF), (0, 0xFF))],
    "utf16": [((0, 0xD7), (0, 0xFF)), ((0xE0, 0xFF), (0, 0xFF)), ((0xD8, 0xD8), (0, 3), (0xDC, 0xDF), (0, 0xFF))],
    "utf16le": [((0, 0xFF), (0, 0xD7)), ((0, 0xFF), (0xE0, 0xFF)), ((0, 3), (0xD8, 0xD8), (0, 0xFF), (0xDC, 0xDF))],
    "utf32": [((0, 0), (0, 1), (0, 0xD7), (0, 0xFF)), ((0, 0), (0x10, 0x10), (0xFF, 0xFF), (0, 0xFF))],
    "utf8mb3": [(ONE,), ((0xC2, 0xDF), (0x80, 0xBF)), ((0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF))],
    "utf8mb4": [(ONE,), ((0xC2, 0xDF), (0x80, 0xBF)), ((0xF0, 0xF0), (0x90, 0x9F), (0x80, 0xBF), (0x80, 0xBF))],
    "ascii": [(ONE,)],
}  # fmt: skip


HOLD_ALL = {"ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4", "gb18030"}  # U+FFFD itself too
SAMPLES = ["", " ", "a", "b  ", "  c", "A-Z 09", "tab\tnew\nline", "größe ñ", "œuvre €", "Šárka ř", "Ğüş ı", "ąęłż", "Ελλάδα", "Привет ґ",
           "שלום", "مرحبا", "สวัสดี", "Հայ", "ქართული", "日本語", "かなカナ", "ｶﾅ", "中文", "漢字", "한국어", "😀 𠀀", "\x7f\x01", "'\"\\%", "ħŝ"]  # fmt: skip


def all_bytes(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    return [bytes(one) for one in product(*(range(first, last + 1) for first, last in ranges))]


def converted(log: Log, database: str, charset: str, ranges: Sequence[tuple[int, int]]) -> list[str | None]:
    """What the server makes of each byte sequence, in order; None where it is no single character."""
    names = [f"b{n}" for n in range(len(ranges))]
    joined = ", ".join(f"{database}.byte {name}" for name in names)
    within = " AND ".join(
        f"{name}.n BETWEEN {first} AND {last}" for name, (first, last) in zip(names, ranges, strict=True)
    )
    raw = f"UNHEX(CONCAT({', '.join(f'HEX({name}.b)' for name in names)}))"
    points = f"IFNULL(HEX(CONVERT(CONVERT({raw} USING {charset}) USING utf32)), '')"
    order = ", ".join(f"{name}.n" for name in names)
    ((text,),) = log.ask(f"SELECT GROUP_CONCAT({points} ORDER BY {order}) FROM {joined} WHERE {within}")
    return [chr(int(point, 16)) if len(point) == 8 else None for point in text.split(",")]


@pytest.mark.parametrize("server", known_sources())
def test_every_character_of_every_character_set_is_what_the_server_makes_of_it(server: str):
    """Python's codecs of the same name differ in a character here and there; bytes without a character become one '?'."""
    wrong, seen = [], 0
    with closing(source_log(server)) as log, log.database() as database:
        log.ask("SET SESSION group_concat_max_len = 100000000")
        log.ask(f"CREATE TABLE {database}.byte (n INT PRIMARY KEY, b BINARY(1))")
        log.ask(f"INSERT INTO {database}.byte VALUES {', '.join(f'({n}, UNHEX(HEX(CHAR({n}))))' for n in range(256))}")
        for (charset,) in log.ask("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS"):
            if charset == "binary":
                continue
            for ranges in BYTES_OF.get(charset, [((0, 0xFF),)]):
                shown = converted(log, database, charset, ranges)
                sequences = all_bytes(ranges)
                assert len(shown) == len(sequences)
                seen += len(shown) - shown.count(None)
                wrong += _misread(log, charset, sequences, shown)
    assert wrong == []
    assert seen > 200_000


def _misread(log: Log, charset: str, sequences: list[bytes], shown: list[str | None]) -> list[tuple[str, str, str]]:
    """A question mark that is none stands for bytes without a character."""
    decode = log.server.catalog.text_decoder(charset)
    found = []
    for raw, character in zip(sequences, shown, strict=True):
        if character is None:
            continue
        nothing = (character == "\ufffd" and charset not in HOLD_ALL) or (character == "?" and raw.strip(b"\0") != b"?")
        try:
            got = decode(raw)
        except UnreadableData:
            got = "refused"
        if got != ("refused" if nothing else character):
            found.append((charset, raw.hex(), f"got {got}, the server has {character}"))
    return found


@every_run
def test_text_in_every_character_set_is_carried_as_select_shows_it(run: tuple[Log, str, str]):
    """A column keeps its character set when the database gets another, so there is one of each somewhere."""
    log, _, _ = run
    expected = []
    with log.database() as database, reading(log, database) as reader:
        charsets = [name for (name,) in log.ask("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")]
        charsets.remove("binary")
        with log.connect(database) as session, session.cursor() as cursor:
            cursor.execute("CREATE TABLE sample (n INT PRIMARY KEY, text VARCHAR(20) CHARACTER SET utf8mb4)")
            cursor.executemany("INSERT INTO sample VALUES (%s, %s)", list(enumerate(SAMPLES)))
            for charset in charsets:
                cursor.execute(
                    f"CREATE TABLE `{charset}` (c CHAR(15) CHARACTER SET {charset}, v VARCHAR(15) CHARACTER SET {charset},"
                    " n INT, PRIMARY KEY (v, n, c))"
                )
                held = f"CONVERT(CONVERT(text USING {charset}) USING utf8mb4)"
                cursor.execute(f"SELECT n FROM sample WHERE HEX({held}) = HEX(text)")
                numbers = ", ".join(str(n) for (n,) in cursor.fetchall())
                cursor.execute(f"INSERT INTO `{charset}` SELECT text, text, n FROM sample WHERE n IN ({numbers})")
                cursor.execute(
                    f"SELECT CONVERT(v USING utf8mb4), n, CONVERT(c USING utf8mb4) FROM `{charset}` ORDER BY n"
                )
                expected += [(charset, row) for row in cursor.fetchall()]
        got = [(read.action.table, read.action.pk) for read in reader.up_to(log.end()) if read.action.table != "sample"]
    assert sorted(got) == sorted(expected)
    assert len(expected) > 8 * len(charsets) > 300


AMONG = [
    "g POINT, l LINESTRING", "b BLOB, g GEOMETRY, j JSON", "t TINYTEXT CHARACTER SET utf32, d BINARY(3)",
    "e ENUM('a') CHARACTER SET koi8r, s SET('a') CHARACTER SET koi8r", "v VECTOR(3), w VECTOR(2)", "c TEXT COMPRESSED, d VARCHAR(9) COMPRESSED",
    "u UUID, i INET6",
]  # fmt: skip
ONLY = {"VECTOR": ("mysql9",), "COMPRESSED": ("mariadb",), "UUID": ("mariadb",)}
CHARSETS_OF_KEY = [
    ("latin1", "gbk", "utf8mb4"),
    ("utf8mb4", "utf8mb4", "latin1"),
    ("utf16", "utf16", "utf16"),
    ("latin1", "utf8mb4", "utf8mb4"),
]


@every_run
def test_character_sets_are_taken_from_the_right_column(run: tuple[Log, str, str]):
    """They travel as a list over some columns only; miscounted, a key is read in another column's character set."""
    log, server, _ = run
    columns = [text for text in AMONG if all(server in servers for word, servers in ONLY.items() if word in text)]
    shapes = [(text, charsets) for text in columns for charsets in CHARSETS_OF_KEY]
    with log.database() as database, reading(log, database) as reader:
        with log.connect(database) as session, session.cursor() as cursor:
            for number, (text, (one, two, three)) in enumerate(shapes):
                cursor.execute(
                    f"CREATE TABLE c{number} (k1 VARCHAR(5) CHARACTER SET {one}, {text}, k2 CHAR(5) CHARACTER SET {two},"
                    f" n TEXT CHARACTER SET utf8mb4, k3 VARCHAR(5) CHARACTER SET {three}, PRIMARY KEY (k1, k2, k3))"
                )
                cursor.execute(f"INSERT INTO c{number} (k1, k2, k3) VALUES ('é', 'è', 'ü')")
        got = [read.action.pk for read in reader.up_to(log.end())]
    assert got == [("é", "è", "ü")] * len(shapes)


COMPOSITES = [
    # an integer of each kind behind a column whose place in the server's list of numbers is in doubt
    "y YEAR, {} SIGNED", "y YEAR, b BIT(3), {} UNSIGNED", "d DECIMAL(5,1), y YEAR, f FLOAT, {} UNSIGNED", "e ENUM('a','b'), {} UNSIGNED",
    "t TIMESTAMP NULL, {} UNSIGNED", "b BOOL, {} UNSIGNED", "d DOUBLE, {} SIGNED",
]  # fmt: skip


@every_run
def test_signs_are_taken_from_the_right_column(run: tuple[Log, str, str]):
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
