"""
What the connectors that tell have in common.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import entry_points

import pytest
from pydantic import SecretStr

from meepo2_cdc.config import CONNECTORS
from meepo2_cdc.records.telling import as_text, as_topic_and_json, topic
from meepo2_cdc.testing import Changes
from tests.connectors import telling
from tests.connectors.load import faults_in
from tests.kafka import record

TELLING = ("signals", "zmq", "nanomsg", "statsd", "rq", "webhook")


@pytest.mark.parametrize("name", TELLING)
def test_the_readme_names_every_setting_and_its_default(name: str) -> None:
    """A setting that the README forgot is one that nobody uses; a wrong default is believed."""
    (entry,) = (one for one in entry_points(group=CONNECTORS) if one.name == name)
    table = (telling.CONNECTORS / name / "README.md").read_text().partition("## Settings")[2]
    shown = {}
    for row in re.findall(r"^\| (`.+) \|$", table, flags=re.MULTILINE):
        names, values = (re.findall(r"`(.+?)`", cell) for cell in row.split("|")[:2])
        shown |= {one: values[n] if n < len(values) else None for n, one in enumerate(names)}
    fields = entry.load().settings.model_fields
    assert {one for one in shown if not one.endswith("_file")} == set(fields)
    for one, field in fields.items():
        told = shown[one]
        assert told is None or told in {str(field.default), str(field.default).lower(), _plain(field.default)}, one


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_forms_in_which_a_change_is_told() -> None:
    """Receivers are written by them, so they do not change."""
    one = record(7, pk=(1, "x"), committed_at=datetime(2026, 7, 1, tzinfo=UTC))
    assert topic(one) == "orders_write"
    assert as_text(one, qualified=True) == "shop.orders_write (1, 'x')"
    assert as_topic_and_json(one) == (
        'orders_write {"action":"write","schema":"shop","table":"orders","pk":[1,"x"],'
        '"committed_at":"2026-07-01T00:00:00.000000Z","snapshot":false,"seq":7,'
        '"source":{"name":"db","gtid":null,"file":"binlog.000001","position":11,"row":0}}'
    )


def test_what_compares_a_history_finds_each_kind_of_fault() -> None:
    """A comparison that finds nothing proves nothing."""
    changes = Changes()
    written = [changes.write(1), changes.update(1), changes.write(2), changes.delete(1)]
    a, b, c, d = ((one.pk, one.seq) for one in written)
    assert faults_in(written, [a, b, a, b, c, d]) == []
    assert len(faults_in(written, [a, b, c])) == 1, "not told"
    assert len(faults_in(written, [a, d, b, c, d])) == 1, "told too early"
    assert len(faults_in(written, [a, b, c, d, ((9,), 9)])) == 1, "made up"
