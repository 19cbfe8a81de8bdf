"""
Which tables pass, and why others do not.
"""

from __future__ import annotations

import pytest

from meepo2_cdc.table_filter import TableFilter

GHOSTS = [
    "_orders_gho",
    "_orders_ghc",
    "_orders_del",
    "_orders_20260131120000_del",
    "_orders_new",
    "__orders_new",
    "_orders_old",
]


@pytest.mark.parametrize("table", GHOSTS)
@pytest.mark.parametrize("glob", ["*.*", "shop.*", "shop.*_*", "shop.*orders*"])
def test_tables_of_tools_that_alter_online_pass_no_wildcard(glob: str, table: str):
    """Each row of an altered table is copied there: a topic as large as the table, full of what did not happen."""
    assert TableFilter([glob]).is_ghost("shop", table)
    assert not TableFilter([glob]).passes("shop", table)


@pytest.mark.parametrize("glob", ["shop._orders_new", "*._orders_new", "shop._*"])
def test_a_table_so_named_passes_when_its_name_is_meant(glob: str):
    """Somebody's own table may be called so."""
    assert TableFilter(["*.*", glob]).passes("shop", "_orders_new")
    assert not TableFilter(["*.*", glob]).is_ghost("shop", "_orders_new")


@pytest.mark.parametrize("table", ["orders_new", "orders_old", "_new", "_orders", "_orders_news", "x_orders_gho"])
def test_names_that_are_only_similar_pass(table: str):
    """A table that is left out by mistake is one whose changes are lost."""
    assert TableFilter(["shop.*"]).passes("shop", table)
    assert not TableFilter(["shop.*"]).is_ghost("shop", table)


def test_what_no_include_wants_is_no_ghost():
    """It would be warned of although nobody asked for its schema."""
    tables = TableFilter(["shop.*", "!shop._orders_old"])
    assert not tables.is_ghost("other", "_orders_new")
    assert not tables.is_ghost("shop", "_orders_old")
    assert not tables.is_ghost("mysql", "_orders_new")


def test_the_server_s_own_schemas_pass_when_they_are_named():
    """A heartbeat of the server itself is nobody's change."""
    assert not TableFilter(["*.*"]).passes("mysql", "user")
    assert TableFilter(["mysql.*"]).passes("mysql", "user")


@pytest.mark.parametrize("table", GHOSTS)
def test_a_consumer_gets_what_was_captured_whatever_its_name(table: str):
    """Left out a second time, a table that the capture was told to capture reaches no application."""
    assert TableFilter(["shop.*"], ghosts=True).passes("shop", table)
    assert not TableFilter(["shop.*", "!*._*"], ghosts=True).passes("shop", table)
