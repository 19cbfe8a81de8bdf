"""
Rows beside their keys: which columns, what becomes of values that cannot be had or are too large, and who reads them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.json_values import json_text
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, value_decoder
from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.capture.binlog.transactions import Rows, Transaction
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import RowsSettings, load
from meepo2_cdc.errors import ConfigError, UnreadableData
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.records import Action
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.records.row_avro import encode_change
from meepo2_cdc.records.row_change import RowChange
from tests import history
from tests.acceptance import tutorial
from tests.command import COMMAND, Running, until
from tests.rows import LETTERS, rows_of
from tests.scenes import Scene, both_own
from tests.sources import OPTIONAL, REQUIRED, Run, known_sources, source_run

ALL = ("*.*",)


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    name, metadata = request.param if isinstance(request.param, tuple) else (request.param, "full")
    with source_run(name, metadata) as found:
        yield found


def on(*servers: Any) -> pytest.MarkDecorator:
    there = [one for one in servers if one not in OPTIONAL or one in known_sources()]
    return pytest.mark.parametrize("run", there, indirect=True, scope="module")


both = on(*REQUIRED)


def execute(run: Run, database: str, *statements: str) -> None:
    with run[0].connect(database) as session, session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@both
def test_columns_are_left_out_masked_and_hashed(run: Run, tmp_path: Path):
    """A password that leaves the database once is out for ever; a hash by which rows can be joined is not one."""
    (tmp_path / "key").write_text("k3y\n")
    rule = RowsSettings(
        tables=ALL,
        columns=("*", "!pass*"),
        mask=("card", "n_secret"),
        hash=("mail", "n", "raw"),
        hash_key_file=tmp_path / "key",
    )
    with run[0].database() as database, rows_of(run[0], database, rule) as reader:
        execute(
            run,
            database,
            "CREATE TABLE t (id INT PRIMARY KEY, Password VARCHAR(20), card CHAR(16), n_secret INT, mail VARCHAR(50),"
            " n BIGINT, raw VARBINARY(9), v INT)",
            "INSERT INTO t VALUES (1, 'geheim', '4111', 7, 'ann@größe.de', -12, X'00FF', 5), (2, 'x', NULL, NULL,"
            " NULL, NULL, NULL, NULL)",
        )
        first, second = reader.up_to(run[0].end())["t"]
    nulls = dict.fromkeys(("card", "n_secret", "mail", "n", "raw", "v"))
    assert second.after == {"id": 2, **nulls}
    assert first.after == {
        "id": 1,
        "card": "***",
        "n_secret": "***",
        "mail": hashed("ann@größe.de".encode()),
        "n": hashed(b"-12"),
        "raw": hashed(b"\x00\xff"),
        "v": 5,
    }


def hashed(value: bytes) -> str:
    return hmac.new(b"k3y", value, hashlib.sha256).hexdigest()


@both
def test_only_the_tables_that_are_named_have_rows(run: Run):
    """The rule that means a table first counts; who asked for one table must not publish the others."""
    with run[0].database() as database:
        rules = RowsSettings(tables=(f"{database}.a*",), columns=("v",)), RowsSettings(tables=("*.ab",))
        with rows_of(run[0], database, *rules) as reader:
            for name in ("ab", "b"):
                execute(run, database, f"CREATE TABLE {name} (id INT PRIMARY KEY, v INT)")
                execute(run, database, f"INSERT INTO {name} VALUES (1, 2)")
            found = reader.messages_up_to(run[0].end())
    assert set(found) == {"keys.ab", "keys.b", "rows.ab"}
    (change,) = found["rows.ab"]
    assert isinstance(change, RowChange)
    assert change.after == {"v": 2}


@both
def test_a_changed_key_is_a_delete_with_the_old_row_and_a_write_with_the_new_one(run: Run):
    """A consumer that keeps rows by their key would keep the old one for ever."""
    with run[0].database() as database, rows_of(run[0], database) as reader:
        execute(
            run,
            database,
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)",
            "UPDATE t SET id = id + 10, v = v + 1 WHERE id > 1 ORDER BY id DESC",
            "UPDATE t SET v = 11 WHERE id = 1",
            "TRUNCATE TABLE t",
        )
        found = reader.messages_up_to(run[0].end())["rows.t"]
    assert [change and (change.action.value, change.before, change.after) for change in found[3:]] == [  # type: ignore[attr-defined]
        ("delete", {"id": 3, "v": 30}, None),
        None,
        ("write", None, {"id": 13, "v": 31}),
        ("delete", {"id": 2, "v": 20}, None),
        None,
        ("write", None, {"id": 12, "v": 21}),
        ("update", {"id": 1, "v": 10}, {"id": 1, "v": 11}),
        ("truncate", None, None),
    ]


@on("mysql", "mysql9")
def test_a_difference_within_json_is_refused_and_never_taken_for_the_value(run: Run):
    """PARTIAL_JSON logs what to change in a value that nobody here has."""
    partial = (
        "SET binlog_row_value_options = PARTIAL_JSON",
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, j JSON)",
        "INSERT INTO t VALUES (1, 0, JSON_OBJECT('a', REPEAT('x', 1000), 'b', 1))",
        "UPDATE t SET v = 1",
        "UPDATE t SET j = JSON_SET(j, '$.b', 2)",
    )
    log = run[0]
    with log.database() as database, rows_of(log, database) as reader:
        execute(run, database, *partial)
        with pytest.raises(UnreadableData, match="PARTIAL_JSON") as refused:
            reader.up_to(log.end())
        assert "binlog_row_value_options" in refused.value.fix
    with log.database() as database, rows_of(log, database, skip_unreadable=True) as reader:
        execute(run, database, *partial, "SET binlog_row_value_options = ''", "UPDATE t SET v = 2")
        first, *left, last = reader.up_to(log.end())["t"]
    assert first.after is not None
    assert last.after is not None
    assert json.loads(str(first.after["j"])) == {"a": "x" * 1000, "b": 1}
    assert [(one.left_out, one.before, one.after) for one in left] == [("the row cannot be read", None, None)] * 2
    assert json.loads(str(last.after["j"])) == {"a": "x" * 1000, "b": 2}
    with log.database() as database:
        rule = RowsSettings(tables=ALL, columns=("!j",))
        with rows_of(log, database, rule) as reader:
            execute(run, database, *partial)
            assert reader.up_to(log.end())["t"][-1].after == {"id": 1, "v": 1}


@both
def test_rows_that_the_log_has_in_part_are_refused(run: Run):
    """What an image leaves out is not null; and keys go on where the policy says so."""
    minimal = (
        "SET binlog_row_image = MINIMAL",
        "CREATE TABLE t (id INT PRIMARY KEY, v INT DEFAULT 3)",
        "INSERT INTO t (id) VALUES (1)",
        "UPDATE t SET v = 5",
    )
    with run[0].database() as database, rows_of(run[0], database) as reader:
        execute(run, database, *minimal)
        with pytest.raises(UnreadableData, match="binlog_row_image"):
            reader.up_to(run[0].end())
    with run[0].database() as database, rows_of(run[0], database, skip_unreadable=True) as reader:
        execute(run, database, *minimal)
        changes = reader.up_to(run[0].end())["t"]
    assert changes[-1].action is Action.UPDATE
    assert changes[-1].left_out == "the row cannot be read"


@on("mariadb11")
def test_an_image_without_what_did_not_change_is_made_whole(run: Run):
    """FULL_NODUP leaves out of the new image what is as in the old one."""
    with run[0].database() as database, rows_of(run[0], database) as reader:
        execute(
            run,
            database,
            "SET binlog_row_image = FULL_NODUP",
            "CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(9), c INT)",
            "INSERT INTO t VALUES (1, 1, 'b', NULL), (2, NULL, NULL, 3)",
            "UPDATE t SET a = NULL, c = 4",
        )
        updates = reader.up_to(run[0].end())["t"][2:]
    assert [change.after for change in updates] == [
        {"id": 1, "a": None, "b": "b", "c": 4},
        {"id": 2, "a": None, "b": None, "c": 4},
    ]


@on(("mysql", "default"), ("mariadb", "default"))
def test_without_names_in_the_log_rows_are_refused(run: Run):
    """Columns by their number would be other columns after the next ALTER."""
    statements = "CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 2)"
    with run[0].database() as database, rows_of(run[0], database) as reader:
        execute(run, database, *statements)
        with pytest.raises(UnreadableData, match="binlog_row_metadata is not FULL"):
            reader.up_to(run[0].end())
    with run[0].database() as database, rows_of(run[0], database, skip_unreadable=True) as reader:
        execute(run, database, *statements)
        (change,) = reader.up_to(run[0].end())["t"]
    assert (change.pk, change.left_out) == ((1,), "the row cannot be read")


def test_rules_are_tables_in_the_file(tmp_path: Path):
    """What people write first; and a hash without its key would be one that anybody can look up."""
    file = tmp_path / "cdc.toml"
    file.write_text(
        '[[capture.rows]]\ntables = "shop.user"\ncolumns = ["*", "!password"]\n'
        '[[capture.rows]]\ntables = ["shop.*", "!shop.tmp_*"]\noversize = "key-only"\n'
    )
    first, second = load(config=file, environment={}).capture.rows
    assert (first.tables, first.columns, first.oversize) == (("shop.user",), ("*", "!password"), "fail")
    assert (second.tables, second.oversize) == (("shop.*", "!shop.tmp_*"), "key-only")
    file.write_text('[[capture.rows]]\ntables = "shop.user"\nhash = ["mail"]\n')
    with pytest.raises(ConfigError, match="hash_key_file"):
        load(config=file, environment={})
    file.write_text('[[capture.rows]]\ntables = "shop.user"\ncolumn = ["mail"]\n')
    with pytest.raises(ConfigError, match="rows"):
        load(config=file, environment={})


def test_what_a_row_holds_is_in_no_message():
    """Messages go to logs, and to people who may not see rows."""
    decode = value_decoder(t.Column(t.VARCHAR, 50), KeyColumn(0, charset="utf8mb4"), lambda charset: str)
    for broken in (lambda: decode(b"geheim\xff"), lambda: json_text(b"\x0c\x07geheim\xff")):
        with pytest.raises(UnreadableData) as caught:
            broken()
        assert "geheim" not in f"{caught.value} {caught.value.__cause__}"


@on("mysql")
@pytest.mark.parametrize("oversize", ["fail", "key-only", "dead-letter"])
def test_a_row_that_is_too_large_stops_or_is_told_without_its_values(run: Run, oversize: Any):
    """Kafka refuses the record, and with it the whole transaction, for ever."""
    rule = RowsSettings(tables=ALL, oversize=oversize, max_bytes=2000)
    with run[0].database() as database, rows_of(run[0], database, rule) as reader:
        execute(
            run,
            database,
            "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO t VALUES (1, 'small'), (2, REPEAT('x', 2000)), (3, 'small')",
        )
        if oversize == "fail":
            with pytest.raises(UnreadableData, match=rf"{database}\.t cannot be published: .*2012 bytes, and 2000"):
                reader.messages_up_to(run[0].end())
            assert reader.messages_up_to(LogPosition("binlog.0", 0)) == {}, "of its event nothing is given out"
            return
        found = reader.messages_up_to(run[0].end())
    told = found["rows.t"] if oversize == "key-only" else found["rows.t"] + found[LETTERS]
    stub = next(one for one in told if one is not None and one.pk == (2,))
    assert isinstance(stub, RowChange)
    assert stub.left_out is not None
    assert stub.left_out.endswith("and 2000 are the limit")
    assert (stub.after, len(told), len(found["keys.t"])) == (None, 3, 3)


# -- with Kafka


ROWS = '[{"tables": "*.test"}]'


def rows_in(scene: Scene) -> list[RowChange]:
    """In the order of seq, and in the topic of their table."""
    topic = f"{scene.prefix}.rows.{scene.database}.test"
    settings = load([], environment={"MEEPO2_PREFIX": scene.prefix, "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": scene.kafka})
    topics = CaptureTopics(settings, connect(settings.kafka))
    assert topic in {one.topic for one in topics.data_partitions()}, "a lost end would not be looked for there"
    found = history.actions(history.committed(scene.kafka, [topic]))
    assert found == [topics.decoder.action(encode_change(one)) for one in found if isinstance(one, RowChange)]
    return [one for one in found if isinstance(one, RowChange)]


@both_own
def test_the_tutorial_with_its_rows(scene: Scene, tmp_path: Path):
    """S2.  What meepo2 told receivers of user_write_raw, and in one transaction with the keys."""
    capture = scene.capture(MEEPO2_CAPTURE_ROWS=ROWS)
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.wait_for(len(tutorial.CHANGES))
    assert capture.stop().code == 0
    changes = rows_in(scene)
    keys = history.actions(scene.reads())
    assert [(one.action, one.pk, one.seq, one.source) for one in changes] == [
        (one.action, one.pk, one.seq, one.source) for one in keys
    ]
    told = [(one.action.value, values(one.before), values(one.after)) for one in changes]
    assert told[0] == ("write", None, (1, "a"))
    assert ("update", (1, "a"), (1, "aa")) in told
    assert {one for one in told if one[0] == "delete"} == {
        ("delete", (n, text), None) for n, text in ((2, "cc"), (3, "cc"), (4, "cc"), (1, "aa"))
    }
    heard = raw_signals(scene, tmp_path, len(changes))
    assert heard.count(f'test_write_raw {{"values": {json.dumps({"id": 1, "data": "a"})}}}') == 1
    update = {"before_values": {"id": 1, "data": "a"}, "after_values": {"id": 1, "data": "aa"}}
    assert heard.count(f"test_update_raw {json.dumps(update)}") == 1
    shown = scene.command("replay", "--topic", f"{scene.prefix}.rows.{scene.database}.test", "--json")
    first = json.loads(shown.out.splitlines()[0])
    assert (first["before"], first["after"], first["left_out"]) == (None, {"id": 1, "data": "a"}, None)


def values(image: Any) -> Any:
    return image and (image["id"], image["data"])


@pytest.mark.parametrize("scene", ["own_mysql"], indirect=True)
def test_a_capture_killed_inside_of_a_transaction_gives_each_row_once(scene: Scene):
    """Rows that are passed over since they are published must not lend their values to those that follow."""
    split = {"MEEPO2_CAPTURE_ROWS": ROWS, "MEEPO2_CAPTURE_COMMIT_ROWS": "100"}
    scene.run(
        "CREATE TABLE test (id INT PRIMARY KEY, v VARCHAR(20))",
        "SET cte_max_recursion_depth = 30000",
        "INSERT INTO test WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 20000)"
        " SELECT id, CONCAT('v', id) FROM n",
    )
    capture = scene.launch(**split)
    until(lambda: (found := scene.checkpoint()) is not None and found.rows_done, "a checkpoint inside the transaction")
    capture.kill()
    saved = scene.checkpoint()
    assert saved is not None
    assert 0 < saved.rows_done < 20_000, "the capture was not killed inside the transaction"
    scene.caught_up(MEEPO2_CAPTURE_ROWS=ROWS)
    changes = rows_in(scene)
    assert [one.pk for one in changes] == [(n,) for n in range(1, 20_001)]
    assert [one.seq - changes[0].seq for one in changes] == list(range(20_000))
    assert all(one.after == {"id": one.pk[0], "v": f"v{one.pk[0]}"} for one in changes)


@pytest.mark.parametrize("scene", ["own_mysql"], indirect=True)
def test_rows_are_framed_for_a_schema_registry(scene: Scene, registry: str):
    """A subject of their own has their schema; read as that of the keys, no record would be one."""
    scene.settings["MEEPO2_SCHEMA_REGISTRY_URL"] = registry
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, v INT)", "INSERT INTO test VALUES (1, 2)")
    scene.caught_up(MEEPO2_CAPTURE_ROWS=ROWS)
    for topic, after in (
        (scene.topic("test"), None),
        (f"{scene.prefix}.rows.{scene.database}.test", {"id": 1, "v": 2}),
    ):
        shown = scene.command("replay", "--topic", topic, "--json")
        assert shown.code == 0, shown.err
        (record,) = map(json.loads, shown.out.splitlines())
        assert (record["pk"], record.get("after")) == ([1], after)


def test_rows_that_are_passed_over_take_their_values_with_them():
    """Events are cut otherwise after a failover, so what is published may end in the middle of one."""
    transaction = Transaction(None, 0, 0, "", 0, open=True)
    layout = TableLayout("s", "t", (), ())
    keys, images = [b"a", b"a", b"b", b"c"], [b"a0", b"a1", b"b0", b"c1"]
    rest = Rows(layout, Action.UPDATE, keys, transaction, 0, images).without_first(1)
    assert (rest.keys, rest.images, rest.first_row) == ([b"b", b"c"], [b"b0", b"c1"], 1)
    assert Rows(layout, Action.WRITE, keys, transaction, 0).without_first(1).images is None


RECEIVERS = """
import json
from meepo2_cdc.signals import signal

for action in ("write", "update", "delete"):
    def tell(row, name=f"test_{action}_raw"):
        print(name, json.dumps(row), flush=True)
    signal(f"test_{action}_raw").connect(tell)
"""


def raw_signals(scene: Scene, directory: Path, count: int) -> list[str]:
    (directory / "receivers.py").write_text(RECEIVERS)
    settings = {
        **scene.settings,
        "MEEPO2_SIGNALS_MODULES": "receivers",
        "MEEPO2_SIGNALS_RAW": "true",
        "MEEPO2_RUN_WORKERS": "1",
    }
    running = Running(["run", "signals"], settings, ("env", "-C", str(directory), str(COMMAND)))
    until(lambda: running.printed.count("\n") >= count, "a line for each row")
    ended = running.stop()
    assert ended.code == 0, ended.err
    return ended.out.splitlines()


@pytest.mark.parametrize("scene", ["mysql"], indirect=True)
def test_a_server_that_does_not_log_names_is_refused_at_the_start(scene: Scene):
    """Found out at the first row, it would be found out at night."""
    outcome = scene.once(MEEPO2_CAPTURE_ROWS=ROWS)
    assert outcome.code == 2
    assert "binlog_row_metadata=MINIMAL" in outcome.complaint
    assert "binlog_row_metadata = FULL" in outcome.complaint
    assert scene.once(MEEPO2_CAPTURE_ROWS='[{"tables": "*.*", "hash": "mail"}]').code == 2
