"""
What servers can do with their logs, against whole captures: compressed transactions, XA, heartbeats, tagged GTIDs.

The statements of sessions are golden cases; here is what takes a large transaction, a killed process or an idle server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from tests.command import until
from tests.faults.owned import Owned
from tests.faults.watching import checkpoints
from tests.history import by_key
from tests.proxy import Proxy, Weather
from tests.scenes import Scene, Server
from tests.services import native
from tests.sources import MYSQL, known_sources

MEMORY_BYTES = 150_000_000
SPLIT_ROWS = 50_000
ROWS, ROW_BYTES = 100_000, 2000
"""200 MB of rows, which zstd makes some kilobytes of."""

BULK = "CREATE TABLE bulk (id INT PRIMARY KEY, pad VARCHAR(2000))"
FILL = (
    "INSERT INTO bulk WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})"
    f" SELECT id, REPEAT('x', {ROW_BYTES}) FROM n"
)


@pytest.fixture(scope="module")
def owned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """A server that may be killed, set as it is by default."""
    with getattr(native, request.param)(tmp_path_factory.mktemp(request.param)) as process:
        yield Owned(process, Server(process.dsn))


@pytest.fixture
def scene(owned: Owned, kafka: str, prefix: str) -> Iterator[Scene]:
    with closing(Scene(owned.server, kafka, prefix)) as made:
        yield made


def servers(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("owned", [name for name in known_sources() if name in names], indirect=True)


every_server = servers(*known_sources())


# -- compressed transactions


def fill_compressed(scene: Scene, rows: int) -> None:
    """One transaction of so many rows, by a session that compresses; its event is far smaller than its rows."""
    before = log_bytes(scene)
    scene.run(
        "SET binlog_transaction_compression = ON",
        f"SET cte_max_recursion_depth = {rows}",
        FILL.format(rows=rows),
    )
    assert log_bytes(scene) - before < rows * ROW_BYTES / 100, "the server did not compress"


def log_bytes(scene: Scene) -> int:
    return sum(int(row["File_size"]) for row in scene.ask("SHOW BINARY LOGS"))


@servers(*MYSQL)
def test_a_large_compressed_transaction_is_read_in_pieces(scene: Scene) -> None:
    """Decompressed at once, it takes memory in proportion to its rows: the process is killed, again at each start."""
    scene.run(BULK, "CREATE TABLE other (id INT PRIMARY KEY)")
    capture = scene.capture()
    base = scene.checkpoint()
    assert base is not None
    with checkpoints(scene) as wait:
        fill_compressed(scene, ROWS)
        scene.run("INSERT INTO other VALUES (1)")
        wait(lambda one: one.seq == base.seq + ROWS + 1, "behind the last row")
    assert capture.resident_bytes() < MEMORY_BYTES
    assert capture.stop().code == 0
    assert by_key(scene.changes("bulk")) == {(n,): ["write"] for n in range(1, ROWS + 1)}


@servers(*MYSQL)
def test_a_capture_killed_inside_of_a_compressed_transaction_goes_on_exactly_there(scene: Scene) -> None:
    """The rows within have no positions; those that are published are known by their number only."""
    split = {"MEEPO2_CAPTURE_COMMIT_ROWS": "100"}
    scene.run(BULK)
    fill_compressed(scene, SPLIT_ROWS)
    capture = scene.launch(**split)
    until(lambda: (found := scene.checkpoint()) is not None and found.rows_done, "a checkpoint inside the transaction")
    capture.kill()
    saved = scene.checkpoint()
    assert saved is not None
    assert 0 < saved.rows_done < SPLIT_ROWS, "the capture was not killed inside the transaction"
    scene.caught_up(**split)
    assert by_key(scene.changes()) == {(n,): ["write"] for n in range(1, SPLIT_ROWS + 1)}


# -- XA


@every_server
def test_a_server_killed_between_prepare_and_commit_loses_no_prepared_row(owned: Owned, scene: Scene) -> None:
    """The prepared transaction outlives the server, in a log file that was ended by a crash; it is committed later."""
    xids = [f"{scene.database}-{n}" for n in range(3)]
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    capture = scene.capture(MEEPO2_SOURCE_HEARTBEAT_SECONDS="0.5")
    for number, xid in enumerate(xids):
        prepare(scene, xid, f"INSERT INTO test VALUES ({number})")
    scene.run("INSERT INTO test VALUES (10)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (11)")
    scene.wait_for(2)
    owned.process.kill()
    capture.wait_for("The connection to the source was lost")
    owned.process.start()
    assert len(scene.ask("XA RECOVER")) == len(xids)
    scene.run(f"XA COMMIT '{xids[0]}'", f"XA ROLLBACK '{xids[1]}'", "INSERT INTO test VALUES (12)")
    scene.wait_for(4)
    capture.kill()
    owned.process.kill()
    owned.process.start()
    scene.run(f"XA COMMIT '{xids[2]}'", "INSERT INTO test VALUES (13)")
    scene.caught_up()
    assert scene.changes() == [("write", (n,)) for n in (10, 11, 0, 12, 2, 13)]


def prepare(scene: Scene, xid: str, statement: str) -> None:
    """By a session that is gone afterwards, as after a crash of the application."""
    scene.run(f"XA START '{xid}'", statement, f"XA END '{xid}'", f"XA PREPARE '{xid}'")


# -- heartbeats


@dataclass(frozen=True)
class Counted(Weather):
    """Counts what goes through the link."""

    pieces: list[int] = field(default_factory=list)

    def pause_of(self, size: int) -> float:
        self.pieces.append(size)
        return 0.0


@every_server
def test_an_idle_stream_lives_on_its_heartbeats_with_a_right_checkpoint(owned: Owned, scene: Scene) -> None:
    """Four of them missing is a lost connection; and one of them read as an event would move the position."""
    settings = {
        "MEEPO2_TABLES": f"{scene.database}.test",
        "MEEPO2_SOURCE_HEARTBEAT_SECONDS": "0.2",
        "MEEPO2_CAPTURE_IDLE_CHECKPOINT_SECONDS": "0.1",
    }
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY)")
    with Proxy(owned.server.host, owned.server.port) as link:
        settings["MEEPO2_SOURCE_DSN"] = f"mysql://root:@127.0.0.1:{link.port}/"
        capture = scene.capture(**settings)
        for number in (1, 2):
            scene.run(f"INSERT INTO test VALUES ({number})", f"INSERT INTO other VALUES ({number})")
            end = log_end(scene)
            stay_idle(scene, link, end)
        assert capture.runs
        assert "was lost" not in capture.said
        capture.kill()
    scene.run("INSERT INTO test VALUES (3)")
    del settings["MEEPO2_SOURCE_DSN"]
    scene.caught_up(**settings)
    assert scene.changes() == [("write", (n,)) for n in (1, 2, 3)]


def stay_idle(scene: Scene, link: Proxy, end: tuple[str, int]) -> None:
    """Until three times the silence has passed that means a lost server; all the while the checkpoint is at the end."""
    until(lambda: place(scene) == end, f"a checkpoint at {end}")
    link.weather = counted = Counted()
    until(lambda: len(counted.pieces) > 12, "twelve heartbeats")
    assert place(scene) == end


def place(scene: Scene) -> tuple[str | None, int | None] | None:
    found = scene.checkpoint()
    return None if found is None else (found.file, found.position)


def log_end(scene: Scene) -> tuple[str, int]:
    last = scene.ask("SHOW BINARY LOGS")[-1]
    return str(last["Log_name"]), int(last["File_size"])


# -- tagged GTIDs


@servers("mysql9")
def test_a_capture_goes_on_exactly_behind_tagged_transactions(scene: Scene) -> None:
    """Tags are part of the set that a restart asks with; left out, the server sends all of them again."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    expected = []
    for number in range(4):
        tag = ("AUTOMATIC", "AUTOMATIC:one", "AUTOMATIC:two")[number % 3]
        scene.run(f"SET gtid_next = '{tag}'", f"INSERT INTO test VALUES ({number})")
        scene.run(f"INSERT INTO test VALUES ({number + 10})")
        scene.caught_up()
        expected += [("write", (number,)), ("write", (number + 10,))]
        assert scene.changes() == expected
    found = scene.checkpoint()
    assert found is not None
    assert ":one:" in str(found.gtid_set)
    assert ":two:" in str(found.gtid_set)
    running = scene.capture()
    scene.run("SET gtid_next = 'AUTOMATIC:three'", "INSERT INTO test VALUES (99)")
    scene.wait_for(len(expected) + 1)
    running.kill()
    scene.caught_up()
    assert scene.changes() == [*expected, ("write", (99,))]


# -- row images


@servers("mariadb11")
def test_a_server_that_logs_of_updated_rows_the_changed_columns_behind_the_whole_row_is_captured(
    owned: Owned, scene: Scene
) -> None:
    """The row before is whole, so the key is there; to refuse it makes operators change the server for nothing."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, v INT)", "INSERT INTO test VALUES (1, 1)")
    with owned.server.having(binlog_row_image="'FULL_NODUP'"):
        scene.run("UPDATE test SET v = 2", "UPDATE test SET id = 3")
        scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("update", (1,)), ("delete", (1,)), ("write", (3,))]
