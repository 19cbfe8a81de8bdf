"""
Values and keys of every type on their way from a source into a target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing

import pytest

from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.testing import Changes
from tests.connectors import sql_types
from tests.connectors.sql_replication import (
    Pk,
    applied,
    apply,
    opened,
    source_database,
)
from tests.connectors.sql_targets import TargetDatabase
from tests.integration.test_key_types import KEYS, Key, Tables
from tests.scenes import Server
from tests.services import addresses
from tests.sources import known_sources, source_log

# -- values


@pytest.fixture
def source(server: str) -> Server:
    given = addresses.address(server)
    assert given is not None
    return Server(given)


def run_leniently(server: Server, database: str, statements: Sequence[str]) -> None:
    """Zero dates and the like are let in."""
    with server.connect(database, init_command="SET SESSION sql_mode = '', time_zone = '+00:00'") as connection:
        for statement in statements:
            connection.cursor().execute(statement)


@pytest.mark.parametrize("server", known_sources())
def test_values_of_every_type_arrive_as_they_were(server: str, source: Server, database: TargetDatabase):
    """Both sides are asked in SQL; what is rounded, cut or shifted by a zone on the way is found."""
    types = sql_types.types_of(source.flavor)
    with source_database(source) as (name, rows):
        run_leniently(source, name, sql_types.statements(types))
        wanted = source.ask(sql_types.query("mysql", types, lambda one: f"`{one}`"), name)
        changes = Changes(name, "everything")
        batch = [changes.write(row["id"]) for row in wanted]
        settings = {"on_missing_table": "create", "zero_dates": "null"}
        apply(database.url, rows, batch, batch, **settings)
        found = {row[0]: row[1:] for row in database.ask(sql_types.query(database.kind, types, database.quote))}
    assert len(found) == len(wanted)
    for row in wanted:
        for (column, one), value, expected in zip(types.items(), found[row["id"]], list(row.values())[1:], strict=True):
            expected = sql_types.canonical(one.kind, expected, "mysql")
            if database.kind == "postgres" and one.kind == "moment" and expected and re.search("-00|^0000", expected):
                expected = None
            assert sql_types.canonical(one.kind, value, database.kind) == expected, (column, row["id"])


def is_storable(kind: str, key: Key, pk: Pk) -> bool:
    """PostgreSQL has no zero dates."""
    is_date = "DATE" in key.declared or "TIMESTAMP" in key.declared
    return not (kind == "postgres" and is_date and re.match(r"0000-|....-00-", str(pk[0])))


@pytest.mark.parametrize(
    ("server", "database"),
    [("mysql", "postgres"), ("mysql", "sqlite"), ("mysql", "mysql"), ("mariadb", "postgres"), ("mariadb", "mariadb")],
    indirect=["database"],
)
def test_a_truncate_knows_rows_by_keys_of_every_type(server: str, database: TargetDatabase):
    """A key that comes back from the target in another form passes for one that the source has not: its row goes."""
    keys = [
        key
        for key in KEYS
        if server in key.servers and "'x','x'" not in key.declared and "ujis" not in key.declared
        if not key.prefix or database.kind not in ("mysql", "mariadb")  # where such a table is not created
    ]
    with (
        closing(source_log(server)) as log,
        log.database() as schema,
        closing(SourceRows.from_source(log.source)) as rows,
        opened(database.url, rows, on_missing_table="create") as one,
    ):
        tables = Tables(log, schema)
        tables.create(keys)
        tables.fill(keys)
        for number, (key, parts) in enumerate(zip(keys, tables.selected(keys), strict=True)):
            name = f"k{number}"
            changes = Changes(schema, name)
            rejected = applied(one, [changes.write(part) for part in parts])
            stored = [(part,) for part in parts if is_storable(database.kind, key, (part,))]
            assert set(rejected) <= {(part,) for part in parts} - set(stored), (key, rejected)
            numbers = {n for (n,) in database.ask(f"SELECT n FROM {name}")}
            assert len(numbers) == len(parts) - len(rejected), key
            one.apply([changes.truncate()])
            assert {n for (n,) in database.ask(f"SELECT n FROM {name}")} == numbers, key
            gone = min(numbers)
            log.ask(f"DELETE FROM {schema}.{name} WHERE n = {gone}")
            one.apply([changes.truncate()])
            assert {n for (n,) in database.ask(f"SELECT n FROM {name}")} == numbers - {gone}, key
            log.ask(f"DELETE FROM {schema}.{name}")
            applied(one, [changes.delete(part) for part in parts])
            assert database.ask(f"SELECT n FROM {name}") == [], key
