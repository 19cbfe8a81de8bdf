"""
What changed on a server according to the server's own tool, mysqlbinlog, and not to our decoder.

    ### UPDATE `db`.`t`
    ### WHERE
    ###   @1=7
    ### SET
    ###   @1=8

`mysqlbinlog --base64-output=decode-rows -v` writes each row so.  Columns have numbers there and no names, so the
columns of a key must keep their place in the table for as long as the log is read.

The rows of an XA transaction are written where it is prepared; they count where it is committed.  A TRUNCATE is seen in
the form "TRUNCATE TABLE `db`.`t`" only.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest

from tests.history import Change
from tests.scenes import Server
from tests.services import addresses

_TOOL = {"mysql": "mysqlbinlog", "mariadb": "mariadb-binlog"}
_ROW = re.compile(r"### (INSERT INTO|UPDATE|DELETE FROM) `(.+)`\.`(.+)`$")
_TRUNCATE = re.compile(r"TRUNCATE TABLE `(.+)`\.`(.+)`$")
_XA = re.compile(r"XA (START|PREPARE|COMMIT|ROLLBACK) (X'\w*',X'\w*',\d+)( ONE PHASE)?(?:/\*!\*/;)?$")
_VALUE = re.compile(r"###   @(\d+)=(.*?)(?: /\*.*)?$")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")
_ACTION = {"INSERT INTO": "write", "UPDATE": "update", "DELETE FROM": "delete"}

TRUNCATED: Change = ("truncate", ())

KeyColumns = dict[str, tuple[int, ...]]
"""By table: the places of the key's columns, from 1, in key order."""


def key_columns(server: Server, database: str) -> KeyColumns:
    """Of every table in the database that has a primary key."""
    rows = server.ask(
        "SELECT s.TABLE_NAME AS t, c.ORDINAL_POSITION AS place FROM information_schema.STATISTICS s"
        " JOIN information_schema.COLUMNS c USING (TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME)"
        f" WHERE s.TABLE_SCHEMA = '{database}' AND s.INDEX_NAME = 'PRIMARY' ORDER BY s.SEQ_IN_INDEX"
    )
    found: KeyColumns = {}
    for row in rows:
        found[row["t"]] = (*found.get(row["t"], ()), row["place"])
    return found


class _Step(NamedTuple):
    """What changed in a table; or, with a word, what became of the XA transaction of that name."""

    name: str
    changes: list[Change]
    word: str = ""


def truth(server: Server, database: str) -> dict[str, list[Change]]:
    """By table: action and key of each changed row, in the order of the log, all files of it."""
    keys = key_columns(server, database)
    found: dict[str, list[Change]] = {table: [] for table in keys}
    for table, changes, _ in _decided(_steps(_decoded(server), database, keys)):
        found[table].extend(changes)
    return found


def _decided(steps: Iterable[_Step]) -> Iterator[_Step]:
    """Those of XA transactions at their commit, or never."""
    prepared: dict[str, list[_Step]] = {}
    within: list[_Step] | None = None
    for step in steps:
        if step.word == "START":
            within = prepared[step.name] = []
        elif step.word:
            within = None
            if step.word != "PREPARE":
                yield from prepared.pop(step.name, []) if step.word == "COMMIT" else ()
                prepared.pop(step.name, None)
        elif within is not None:
            within.append(step)
        else:
            yield step


def _decoded(server: Server) -> Iterator[str]:
    """The lines of mysqlbinlog over all files there are."""
    name = _TOOL[server.flavor]
    tool = addresses.address(name)
    if tool is None:
        pytest.fail(f"no {name}: set {addresses.VARIABLES[name]} to its path")
    files = [row["Log_name"] for row in server.ask("SHOW BINARY LOGS")]
    remote = ["--read-from-remote-server", f"--host={server.host}", f"--port={server.port}", f"--user={server.user}"]
    command = [tool, "--no-defaults", *remote, "--base64-output=decode-rows", "--verbose", *files]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="surrogateescape"
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        yield from running.stdout
        complaint = running.stderr.read()
    assert running.returncode == 0, complaint


def _steps(lines: Iterable[str], database: str, keys: KeyColumns) -> Iterator[_Step]:
    table: str | None = None
    kind, images = "", [{}]
    for line in lines:
        begun = _ROW.match(line.rstrip("\n"))
        if table is not None and (begun or not line.startswith("### ")):
            yield _Step(table, list(_changes(kind, images, keys[table])))
            table = None
        if begun:
            table = begun[3] if begun[2] == database and begun[3] in keys else None
            kind, images = _ACTION[begun[1]], []
        elif line.startswith(("### WHERE", "### SET")):
            images.append({})
        elif table is not None and (value := _VALUE.match(line.rstrip("\n"))):
            images[-1][int(value[1])] = value[2]
        elif line.startswith(("XA ", "TRUNCATE ")):
            yield from _statement(line.rstrip("\n"), database, keys)


def _statement(line: str, database: str, keys: KeyColumns) -> Iterator[_Step]:
    if word := _XA.match(line):
        yield _Step(word[2], [], word[1])
    elif (found := _TRUNCATE.match(line)) and found[1] == database and found[2] in keys:
        yield _Step(found[2], [TRUNCATED])


def _changes(kind: str, images: list[dict[int, str]], places: tuple[int, ...]) -> Iterator[Change]:
    """An update that changes the key is a delete of the old one and a write of the new."""
    old, new = (tuple(_value(image[place]) for place in places) for image in (images[0], images[-1]))
    if kind != "update":
        yield kind, new
    elif old == new:
        yield "update", new
    else:
        yield "delete", old
        yield "write", new


def _value(text: str) -> int | str:
    if not text.startswith("'"):
        return int(text.split(" ")[0])  # negative numbers have the unsigned one in brackets behind them
    inner = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text[1:-1])
    return inner.encode("utf-8", "surrogateescape").decode("utf-8")
