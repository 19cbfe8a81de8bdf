"""
Keys of records and values of queries, without a database.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, types
from sqlalchemy.dialects import mysql, postgresql

from meepo2_cdc.replay.keys import KeyForm, key_parts


def table(*kinds: Any) -> Table:
    """Columns c0, c1, ... that are the key."""
    return Table("t", MetaData(), *(Column(f"c{n}", kind, primary_key=True) for n, kind in enumerate(kinds)))


def parts(kind: Any, value: Any) -> Any:
    return key_parts(table(kind), {"c0": value})[0]


def bound(kind: Any, part: Any, *, as_text: bool = True) -> Any:
    return KeyForm(table(kind), as_text=as_text).bound((part,))[0]


@pytest.mark.parametrize(
    ("kind", "value", "part"),
    [
        (mysql.BIGINT(unsigned=True), (1 << 64) - 1, "18446744073709551615"),
        (mysql.BIGINT(), (1 << 63) - 1, (1 << 63) - 1),
        (mysql.DECIMAL(20, 8), Decimal("0E-8"), "0.00000000"),
        (mysql.BIT(9), 5, b"\0\x05"),
        (mysql.TIME(fsp=2), timedelta(hours=-12, seconds=-1, milliseconds=-500), "-12:00:01.50"),
        (mysql.TIME(), timedelta(hours=838, minutes=59, seconds=59), "838:59:59"),
        (mysql.DATETIME(fsp=3), datetime(2026, 1, 2, 3, 4, 5, 120000), "2026-01-02T03:04:05.120"),  # noqa: DTZ001
        (mysql.DATETIME(), "0000-00-00 00:00:00", "0000-00-00T00:00:00"),
        (mysql.TIMESTAMP(), datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),  # noqa: DTZ001
        (mysql.TIMESTAMP(fsp=1), "0000-00-00 00:00:00.0", "0000-00-00T00:00:00.0"),
        (types.DATE(), date(999, 1, 2), "0999-01-02"),
        (types.DATE(), "2026-00-00", "2026-00-00"),
        (postgresql.TIMESTAMP(timezone=True), datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00Z"),
        (types.LargeBinary(), memoryview(b"x"), b"x"),
    ],
)
def test_a_value_becomes_the_part_that_a_record_has(kind: Any, value: Any, part: Any):
    """Another spelling of a row's own key, and a sink that compares them believes the row to be gone."""
    assert repr(parts(kind, value)) == repr(part)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (mysql.DECIMAL(10, 2), "1.5", "1.50"),
        (mysql.DECIMAL(10, 0), 7, "7"),
        (mysql.BIT(17), b"\0\x05", b"\0\0\x05"),
        (mysql.DATETIME(fsp=6), "2026-01-02T03:04:05.120", "2026-01-02T03:04:05.120000"),
        (mysql.DATETIME(fsp=6), "2026-01-02T03:04:05", "2026-01-02T03:04:05.000000"),
        (mysql.TIME(fsp=6), "-12:00:01.5", "-12:00:01.500000"),
        (mysql.BIGINT(unsigned=True), "18446744073709551615", "18446744073709551615"),
    ],
)
def test_keys_from_before_and_behind_a_wider_column_are_one(kind: Any, one: Any, other: Any):
    """A DECIMAL or DATETIME that got more digits has the same rows as before."""
    form = KeyForm(table(kind), as_text=True)
    assert form.exact
    assert form.bound((one,)) == form.bound((other,))


def test_a_small_decimal_stays_a_decimal():
    """A float would be compared inexactly, and MySQL would read every row for it."""
    assert bound(mysql.DECIMAL(30, 10), "0.0000000001") == Decimal("0.0000000001")
    assert repr(bound(mysql.DECIMAL(30, 10), "0.0000000000")) == "0"


def test_databases_with_times_of_their_own_get_them():
    """SQLite compares times as text, in the form that SQLAlchemy writes, and not in that of records."""
    assert bound(types.DATE(), "2026-01-02", as_text=False) == date(2026, 1, 2)
    assert bound(types.DateTime(), "2026-01-02T03:04:05Z", as_text=False).tzinfo is None
    assert bound(types.DateTime(timezone=True), "2026-01-02T03:04:05Z", as_text=False).tzinfo is UTC


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (mysql.INTEGER(), "seven"),
        (mysql.INTEGER(), "nan"),
        (mysql.INTEGER(), b"7"),
        (types.DATE(), "yesterday"),
        (mysql.TIME(), "2026-01-02"),
        (mysql.VARCHAR(9), b"bytes"),
        (types.VARBINARY(9), "text"),
        (mysql.BIT(3), 5),
    ],
)
def test_a_part_of_another_kind_is_refused(kind: Any, part: Any):
    """MySQL would compare 'seven' with a number as 0, and give a row that nobody asked for."""
    with pytest.raises(ValueError, match="column holds"):
        bound(kind, part)


def test_a_key_with_another_number_of_parts_is_refused():
    """Compared part by part as far as it goes, it would give the row of another key."""
    with pytest.raises(ValueError, match="2 parts, and the key has 1"):
        KeyForm(table(mysql.INTEGER()), as_text=True).bound((1, 2))


@pytest.mark.parametrize("kind", [mysql.VARCHAR(9), mysql.ENUM("a"), mysql.SET("a"), mysql.TEXT()])
def test_text_is_not_exact(kind: Any):
    """Whether two texts are equal is for their collation to say."""
    assert not KeyForm(table(mysql.INTEGER(), kind), as_text=True).exact
