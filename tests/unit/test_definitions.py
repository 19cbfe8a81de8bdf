"""
The server's present definitions: for which events they hold.
"""

from __future__ import annotations

from typing import Any

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.definitions import Definitions, fits, labels_of
from meepo2_cdc.capture.binlog.tables import TableGone, TableMap
from meepo2_cdc.errors import UnreadableData

CREATED, WRITTEN, ALTERED, NOW = 1000, 2000, 3000, 5000


class Server:
    """Answers the three questions about one table d.t (a int, b int); counts how often it is asked for columns."""

    def __init__(self, made_s: int = CREATED, key: tuple[str, ...] = ("a",), index: str = "PRIMARY") -> None:
        self.made_s, self.key, self.index = made_s, key, index
        self.now_s = float(NOW)
        self.asked = 0

    def ask(self, query: str, schema: str = "", table: str = "") -> list[dict[str, Any]]:
        if query.startswith("SELECT 1 FROM"):
            raise pymysql.err.ProgrammingError(1146, "no such table")
        if (schema, table) != ("d", "t"):
            return []
        if "information_schema.COLUMNS" in query:
            self.asked += 1
            return [self._column("a"), self._column("b")]
        if "information_schema.STATISTICS" in query:
            return [{"table_name": "t", "index_name": self.index, "name": name} for name in self.key]
        return [{"table_name": "t", "made": self.made_s, "asked": self.now_s}]

    def _column(self, name: str) -> dict[str, Any]:
        row = dict.fromkeys(("charset", "octets", "digits", "scale", "fraction"))
        shown = "PRI" if name in self.key else ""
        return {**row, "table_name": "t", "name": name, "data_type": "int", "column_type": "int", "column_key": shown}


def table(written_s: int | None = WRITTEN, name: str = "t", columns: int = 2) -> TableMap:
    return TableMap("d", name, (t.Column(t.LONG, 0),) * columns, {}, written_s)


def test_a_definition_of_before_the_event_holds_for_it():
    """Asked for once, not for each event."""
    server = Server()
    definitions = Definitions(server.ask)
    assert definitions.fitting(table()).key == (0,)
    assert definitions.fitting(table(WRITTEN + 1)).key == (0,)
    assert server.asked == 1


def test_a_definition_that_was_made_later_is_refused():
    """The columns look alike, and the key may be another."""
    with pytest.raises(UnreadableData, match="made later") as refused:
        Definitions(Server(made_s=ALTERED).ask).fitting(table())
    assert "binlog_row_metadata = FULL" in refused.value.fix


def test_an_operator_can_say_that_the_key_did_not_change():
    """Stopping is safe, but must not be the end: who knows the key can go on without leaving rows out."""
    definitions = Definitions(Server(made_s=ALTERED).ask, assume_present=True)
    assert definitions.fitting(table()).key == (0,)
    definitions.changed("d", "ALTER TABLE t ADD INDEX (b)", WRITTEN, WRITTEN + 1)
    assert definitions.fitting(table()).key == (0,)


def test_even_then_columns_that_do_not_fit_are_refused():
    """Bytes of one column would be read as those of another."""
    with pytest.raises(UnreadableData, match="columns"):
        Definitions(Server().ask, assume_present=True).fitting(table(columns=3))


def test_it_holds_again_once_the_statement_that_made_it_was_read():
    """On MariaDB a row that waited for an ALTER TABLE has the time at which it began to wait."""
    definitions = Definitions(Server(made_s=ALTERED).ask)
    definitions.changed("d", "ALTER TABLE t ADD c INT", ALTERED, ALTERED + 1)
    assert definitions.fitting(table(WRITTEN)).key == (0,)


def test_a_statement_about_another_table_does_not_make_it_hold():
    """It says nothing of this one."""
    definitions = Definitions(Server(made_s=ALTERED).ask)
    definitions.changed("d", "ALTER TABLE other ADD c INT", ALTERED, ALTERED + 1)
    with pytest.raises(UnreadableData, match="made later"):
        definitions.fitting(table(WRITTEN))


def test_what_was_asked_in_time_is_kept_through_changes_of_other_tables():
    """Asked again, the answer might be of after a change not yet read, and the capture would stop for nothing."""
    server = Server()
    definitions = Definitions(server.ask)
    definitions.fitting(table())
    server.made_s = NOW + 10
    definitions.changed("d", "ALTER TABLE other ADD c INT", WRITTEN, WRITTEN + 1)
    definitions.changed("elsewhere", "ALTER TABLE t ADD c INT", WRITTEN, WRITTEN + 1)
    definitions.changed("d", "CREATE TABLE tt (t2 INT)", WRITTEN, WRITTEN + 1)
    definitions.fitting(table())
    assert server.asked == 1


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE t ADD c INT",
        "alter table `t` add c int",
        "ALTER TABLE d.t ADD c INT",
        "DROP TABLE x, t",
        "RENAME TABLE t TO u, v TO t",
        "CREATE TABLE t (b INT PRIMARY KEY)",
        "create or replace table `d`.`t` (b int)",
        "DROP INDEX `PRIMARY` ON t",
        "CREATE UNIQUE INDEX i ON t (b)",
        "DROP DATABASE d",
    ],
)
def test_after_a_change_of_the_table_the_server_is_asked_again(statement: str):
    """The key of before would be given to rows of after."""
    server = Server()
    definitions = Definitions(server.ask)
    definitions.fitting(table())
    server.key = ("b",)
    definitions.changed("d", statement, NOW + 10, NOW + 10.5)
    assert definitions.fitting(table(NOW + 11)).key == (1,)


@pytest.mark.parametrize(
    "statement", ["ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b)", "drop table `t`", "CREATE TABLE t (b INT)"]
)
def test_a_change_that_was_carried_out_before_the_question_stops_the_capture(statement: str):
    """The rows in front of it were read by the definition behind it: an ALTER TABLE that let writes go on."""
    definitions = Definitions(Server(made_s=WRITTEN).ask)
    definitions.fitting(table())
    with pytest.raises(UnreadableData, match=r"d\.t changed after the event was written"):
        definitions.changed("d", statement, WRITTEN, WRITTEN + 100)


def test_a_renaming_that_was_carried_out_before_the_question_stops_the_capture():
    """MySQL does not date it."""
    definitions = Definitions(Server().ask)
    definitions.fitting(table())
    with pytest.raises(UnreadableData, match=r"d\.t changed"):
        definitions.changed("d", "RENAME TABLE t TO t_old, t_new TO t", WRITTEN + 1, WRITTEN + 2)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE child (t_id INT REFERENCES t (id))",
        "ALTER TABLE child ADD FOREIGN KEY (x) REFERENCES t (id)",
        "CREATE TABLE copy LIKE t",
        "CREATE TABLE copy AS SELECT * FROM t",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW SET @a = 1",
        "GRANT SELECT ON d.t TO a",
        "ANALYZE TABLE t",
    ],
)
def test_a_statement_that_only_names_the_table_does_not(statement: str):
    """The capture would stop for nothing, and could not go on."""
    definitions = Definitions(Server(made_s=WRITTEN).ask)
    definitions.fitting(table())
    definitions.changed("d", statement, WRITTEN, WRITTEN + 1)


def test_a_statement_of_after_the_present_definition_did_not_make_it():
    """CREATE TABLE IF NOT EXISTS is logged although it does nothing."""
    definitions = Definitions(Server(made_s=CREATED).ask)
    definitions.fitting(table())
    definitions.changed("d", "CREATE TABLE IF NOT EXISTS t (a INT, b INT, PRIMARY KEY (a))", WRITTEN, WRITTEN + 1)


def test_names_that_are_not_ascii_may_be_in_any_statement():
    """Statements are logged in the character set of their session, so the name may not be found in the text."""
    asked = []

    def ask(query: str, schema: str, table: str) -> list[dict[str, Any]]:
        asked.append(query)
        return [{**row, "table_name": "größe"} for row in Server().ask(query, "d", "t")]

    definitions = Definitions(ask)
    definitions.fitting(table(name="größe"))
    before = len(asked)
    definitions.changed("d", "ALTER TABLE gr\ufffd\ufffde ADD c INT", NOW + 1, NOW + 2)
    definitions.fitting(table(NOW + 3, name="größe"))
    assert len(asked) == 2 * before


def test_a_table_that_is_gone_is_told_from_one_that_changed():
    """Its rows are passed over and counted; the others go on."""
    with pytest.raises(TableGone, match=r"d\.gone no longer exists"):
        Definitions(Server().ask).fitting(table(name="gone"))


def test_another_number_of_columns_is_refused():
    """Keys would be taken from the wrong ones."""
    with pytest.raises(UnreadableData, match="it has 2 columns now, and had 3"):
        Definitions(Server().ask).fitting(table(columns=3))


def test_a_unique_key_that_the_server_takes_for_the_key_is_the_key():
    """With FULL metadata the log says so; without, the same rows must come."""
    assert Definitions(Server(key=("b", "a"), index="some_unique").ask).fitting(table()).key == (1, 0)


def test_a_table_that_is_changed_while_it_is_asked_about_is_asked_about_again():
    """Columns of before and a key of after belong to no table."""
    server = Server()
    made = iter([CREATED, WRITTEN, WRITTEN])

    def ask(query: str, schema: str, table: str) -> list[dict[str, Any]]:
        if "CREATE_TIME" in query:
            server.made_s = next(made)
        return server.ask(query, schema, table)

    assert Definitions(ask).fitting(table()).made_s == WRITTEN
    assert server.asked == 2


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), min_size=1, max_size=6))
def test_labels_are_read_as_the_server_spells_them(labels: list[str]):
    """A quote or a comma in a label must not make two of it."""
    escapes = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "''"}
    spelled = ",".join("'" + "".join(escapes.get(one, one) for one in label) + "'" for label in labels)
    assert labels_of(f"enum({spelled})") == labels


@pytest.mark.parametrize(
    ("now", "then", "same"),
    [
        (t.Column(t.LONG, 0), t.Column(t.LONG, 0), True),
        (t.Column(t.LONG, 0), t.Column(t.LONGLONG, 0), False),
        (t.Column(t.VARCHAR, 40), t.Column(t.VARCHAR, 80), False),
        (t.Column(t.FLOAT, 0), t.Column(t.FLOAT, 4), True),
        (t.Column(t.DATETIME2, 0), t.Column(t.DATETIME, 0), True),
        (t.Column(t.DATETIME2, 3), t.Column(t.DATETIME, 0), False),
        (t.Column(t.TIME2, 6), t.Column(t.TIME, 0), False),
        (t.Column(t.BLOB, 2), t.Column(t.BLOB_COMPRESSED, 2), True),
        (t.Column(t.VARCHAR, 40), t.Column(t.BLOB_COMPRESSED, 2), False),
    ],
)
def test_a_column_fits_or_does_not(now: t.Column, then: t.Column, same: bool):
    """Old temporal columns of MariaDB with a fraction have sizes that the log does not tell."""
    assert fits(now, then) == same
