"""
Text keys in every character set of the server, as a record carries them, against the server's own conversions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import product

import pytest

from meepo2_cdc.errors import UnreadableData
from tests.reading import Log, reading
from tests.sources import MARIADB, Run, every_run, known_sources, source_log, source_run


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with source_run(*request.param) as found:
        yield found


# Where a character set's characters lie, as a range for each of their bytes; the others are single bytes.
ONE, PAIR, KANA = (0, 0x7F), (0xA1, 0xFE), (0xA1, 0xDF)
BYTES_OF = {
    "big5": [(ONE,), ((0xA1, 0xF9), (0x40, 0xFE))],
    "gbk": [(ONE,), ((0x81, 0xFE), (0x40, 0xFE))],
    "gb2312": [(ONE,), ((0xA1, 0xF7), PAIR)],
    "gb18030": [
        (ONE,),
        ((0x81, 0xFE), (0x40, 0xFE)),
        ((0x81, 0x84), (0x30, 0x39), (0x81, 0xFE), (0x30, 0x39)),
        ((0x90, 0x90), (0x30, 0x33), (0x81, 0xFE), (0x30, 0x39)),
        ((0xE3, 0xE3), (0x30, 0x31), (0x81, 0xFE), (0x30, 0x39)),
    ],
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
}


HOLD_ALL = {"ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4", "gb18030"}  # U+FFFD itself too
SAMPLES = [
    "",
    " ",
    "a",
    "b  ",
    "  c",
    "A-Z 09",
    "tab\tnew\nline",
    "größe ñ",
    "œuvre €",
    "Šárka ř",
    "Ğüş",
    "ąęłż",
    "Ελλάδα",
    "Привет ґ",
    "שלום",
    "مرحبا",
    "สวัสดี",
    "Հայ",
    "ქართული",
    "日本語",
    "かなカナ",
    "ｶﾅ",
    "中文",
    "漢字",
    "한국어",
    "😀 𠀀",
    "\x7f\x01",
    "'\"\\%",
    "ħŝ",
]


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
    """Python's codecs of the same name differ here and there; bytes without a character become one '?'."""
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
def test_text_in_every_character_set_is_carried_as_select_shows_it(run: Run):
    """A column keeps its character set for ever; there is one of each somewhere."""
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
                    f"CREATE TABLE `{charset}` (c CHAR(15), v VARCHAR(15), n INT, PRIMARY KEY (v, n, c))"
                    f" DEFAULT CHARACTER SET {charset}"
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


@every_run
def test_bytes_that_are_no_character_are_refused(run: Run):
    """The server shows each of them as '?', so that rows with different keys would become one."""
    log, _, _ = run
    for charset, raw in {"big5": "A15A", "geostd8": "81", "swe7": "80", "gbk": "A140", "eucjpms": "A2AF"}.items():
        with log.database() as database, reading(log, database) as reader:
            log.ask(f"CREATE TABLE {database}.t (k VARCHAR(9) CHARACTER SET {charset} PRIMARY KEY)")
            log.ask(f"INSERT INTO {database}.t VALUES (_{charset} X'{raw}')")
            with pytest.raises(UnreadableData, match=f"no character of {charset}"):
                reader.up_to(log.end())


AMONG = [
    "g POINT, l LINESTRING",
    "b BLOB, g GEOMETRY, j JSON",
    "t TINYTEXT CHARACTER SET utf32, d BINARY(3)",
    "e ENUM('a') CHARACTER SET koi8r, s SET('a') CHARACTER SET koi8r",
    "v VECTOR(3), w VECTOR(2)",
    "c TEXT COMPRESSED, d VARCHAR(9) COMPRESSED",
    "u UUID, i INET6",
]
ONLY = {"VECTOR": ("mysql9",), "COMPRESSED": MARIADB, "UUID": MARIADB}
CHARSETS_OF_KEY = [
    ("latin1", "gbk", "utf8mb4"),
    ("utf8mb4", "utf8mb4", "latin1"),
    ("utf16", "utf16", "utf16"),
    ("latin1", "utf8mb4", "utf8mb4"),
]


@every_run
def test_character_sets_are_taken_from_the_right_column(run: Run):
    """They travel as a list over some columns only; miscounted, a key is read in another column's character set."""
    log, server, _ = run
    columns = [text for text in AMONG if all(server in servers for word, servers in ONLY.items() if word in text)]
    shapes = [(text, charsets) for text in columns for charsets in CHARSETS_OF_KEY]
    with log.database() as database, reading(log, database) as reader:
        with log.connect(database) as session, session.cursor() as cursor:
            for number, (text, (one, two, three)) in enumerate(shapes):
                cursor.execute(
                    f"CREATE TABLE c{number} (k1 VARCHAR(5) CHARACTER SET {one}, {text},"
                    f" k2 CHAR(5) CHARACTER SET {two}, n TEXT CHARACTER SET utf8mb4,"
                    f" k3 VARCHAR(5) CHARACTER SET {three}, PRIMARY KEY (k1, k2, k3))"
                )
                cursor.execute(f"INSERT INTO c{number} (k1, k2, k3) VALUES ('é', 'è', 'ü')")
        got = [read.action.pk for read in reader.up_to(log.end())]
    assert got == [("é", "è", "ü")] * len(shapes)
