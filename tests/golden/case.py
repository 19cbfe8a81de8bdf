"""
A golden case: SQL, and below each statement the records that it must give.

    -- The sentence that is the case's name.
    -- servers: mysql mysql9          only these; all unless said
    -- metadata: full                 or default, or minimal; all unless said
    -- logged: EVENT TYPES            the log must then hold, or the case shows nothing of what it is about
    -- stops: WORDS OF THE MESSAGE    reading ends with UnreadableData that has these words
    -- stops with less metadata: WORDS OF THE MESSAGE
    -- passed over: TABLE REASON      rows of this table are counted as passed over, for this reason
    update seat set col_no = 8;
      -> seat delete (1, 7)
      -> seat write (1, 8)

A statement begins at the margin and goes on in the indented lines below it.  Two are no SQL: what stands in front of
`start;` was written before the capture's start, and at `read;` all that was written is read, as by a capture that keeps
up.  `${db}` is the case's database, `${files}` the folder of data files.  Knows this form only; runs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from meepo2_cdc.records import KeyPart, TableAction
from tests.sources import METADATA, OPTIONAL, REQUIRED

HERE = Path(__file__).parent
SERVERS = REQUIRED + OPTIONAL
START, READ = "start;", "read;"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL as written, and the lines of its records."""

    sql: str
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A case's file, read."""

    name: str
    about: str
    servers: tuple[str, ...]
    metadata: tuple[str, ...]
    stops: dict[str, str]
    passed_over: tuple[str, ...]
    logged: frozenset[str]
    before: tuple[str, ...]
    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return self.name


def read_case(path: Path) -> Case:
    """Raises ValueError for a file that is no case, so that a slip in it is no test that tests nothing."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line[3:] for line in lines if line.startswith("-- ")]
    directives = dict(found.groups() for line in head if (found := re.fullmatch(r"([a-z ]+): (.+)", line)))
    known = {"servers", "metadata", "stops", "stops with less metadata", "passed over", "logged"}
    if unknown := directives.keys() - known:
        raise ValueError(f"{path.name} has the unknown directive {', '.join(unknown)}")
    statements = _statements(path, lines)
    start = next((n for n, one in enumerate(statements) if one.sql == START), -1)
    return Case(
        path.stem,
        head[0],
        _words(directives, "servers", SERVERS),
        _words(directives, "metadata", METADATA),
        _stops(directives),
        tuple(one.strip() for one in directives.get("passed over", "").split(";") if one),
        frozenset(directives.get("logged", "").split()),
        tuple(one.sql for one in statements[: max(start, 0)]),
        tuple(statements[start + 1 :]),
    )


def _words(directives: dict[str, str], name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(directives.get(name, " ".join(allowed)).split())
    if not words or not set(words) <= set(allowed):
        raise ValueError(f"{name}: {' '.join(words)}; expected some of {', '.join(allowed)}")
    return words


def _stops(directives: dict[str, str]) -> dict[str, str]:
    """By kind of metadata, what the message says."""
    if "stops" in directives:
        return dict.fromkeys(METADATA, directives["stops"])
    with_less = directives.get("stops with less metadata")
    return {} if with_less is None else dict.fromkeys(set(METADATA) - {"full"}, with_less)


def _statements(path: Path, lines: list[str]) -> list[Statement]:
    found: list[Statement] = []
    sql: list[str] = []
    records: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("--"):
            continue
        if line.startswith("  -> "):
            records.append(line.strip())
        elif line.startswith(" ") and not records:
            sql.append(line)
        elif line.startswith(" "):
            raise ValueError(f"{path.name}: SQL below a record: {line!r}")
        else:
            if sql:
                found.append(Statement("\n".join(sql), tuple(records)))
            sql, records = ([line] if line else []), []
    if not found or sql or records:
        raise ValueError(f"{path.name} has no statement, or ends within one")
    return found


def line_of(action: TableAction, database: str) -> str:
    """A record as a case spells it; the schema only where it is not the case's own database."""
    name = _name(action.table)
    if action.schema != database:
        name = f"{_name(action.schema)}.{name}"
    return f"-> {name} {action.action} ({', '.join(part_text(part) for part in action.pk)})"


def _name(name: str) -> str:
    return name if re.fullmatch(r"\w+", name, re.ASCII) else "`" + name.replace("`", "``") + "`"


def part_text(part: KeyPart) -> str:
    """Numbers as Python prints them, text in single quotes, bytes in hexadecimal."""
    if isinstance(part, bytes):
        return f"x'{part.hex()}'"
    if isinstance(part, str):
        return "'" + part.replace("'", "''").replace("\n", "\\n") + "'"
    return repr(part)
