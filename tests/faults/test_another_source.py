"""
The source is another one: a replica that took over, one that went its own way, one that was restored from a backup.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import Outcome, until
from tests.faults import workload
from tests.faults.owned import Owned, OwnedSources, either, in_turn, purge_until_the_last
from tests.faults.trial import judge, loaded
from tests.faults.watching import wait_for_progress
from tests.proxy import Proxy
from tests.scenes import Scene, Server

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"


@contextmanager
def replicating(scene: Scene, replica: Server) -> Iterator[None]:
    """Everything that happens on the source from now on happens on the replica too, for as long as the block runs."""
    source = scene.server
    words = "REPLICA" if source.flavor == "mysql" else "SLAVE"
    made = f"CREATE DATABASE {scene.database} CHARACTER SET utf8mb4"
    replica.run(made, "RESET MASTER", *_from_now_on(source), f"START {words}")
    try:
        yield
    finally:
        replica.run(f"STOP {words}", f"RESET {words} ALL")


def _from_now_on(source: Server) -> tuple[str, str]:
    place = f"HOST = '127.0.0.1', {{0}}PORT = {source.port}, {{0}}USER = 'root', {{0}}CONNECT_RETRY = 1, {{0}}"
    if source.flavor == "mysql":
        where = "SOURCE_" + place.format("SOURCE_") + "AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
        return f"SET GLOBAL gtid_purged = '{source.executed()}'", f"CHANGE REPLICATION SOURCE TO {where}"
    where = "MASTER_" + place.format("MASTER_") + "USE_GTID = slave_pos"
    return f"SET GLOBAL gtid_slave_pos = '{source.executed()}'", f"CHANGE MASTER TO {where}"


def wait_for_replica(source: Server, replica: Server) -> None:
    executed = source.executed()
    if source.flavor == "mysql":
        has_all = f"SELECT GTID_SUBSET('{executed}', @@GLOBAL.gtid_executed) AS yes"
    else:
        has_all = f"SELECT @@GLOBAL.gtid_binlog_pos = '{executed}' AS yes"
    until(lambda: replica.ask(has_all)[0]["yes"], "the replica has all")


def refused(scene: Scene) -> Outcome:
    """Exit 3, with a way out, and nothing written."""
    before = len(scene.reads())
    outcome = scene.once()
    assert outcome.code == 3, outcome.err
    assert "meepo2-cdc checkpoint set" in outcome.complaint
    assert len(scene.reads()) == before
    return outcome


@either
def test_a_capture_goes_on_at_the_replica_that_took_over(
    owned: Owned, sources: OwnedSources, scene: Scene, source_link: Proxy
) -> None:
    """While it runs, and while it is stopped: files and positions of the new source have nothing to do with the old."""
    source, replica = owned.server, sources(f"{owned.server.flavor}-replica").server
    with replicating(scene, replica):
        workload.prepare(scene)
        capture = scene.capture()
        with loaded(scene):
            wait_for_progress(scene)
        wait_for_replica(source, replica)
    scene.server = replica
    with loaded(scene, seed=2):
        source_link.target = replica.host, replica.port
        source_link.cut()
        wait_for_progress(scene)
        capture.kill()
    judge(scene)
    _forget(source, scene)


@either
def test_a_source_that_lacks_what_was_captured_is_refused(
    owned: Owned, sources: OwnedSources, scene: Scene, source_link: Proxy
) -> None:
    """Its next transactions get the numbers of those that it lost, and would be taken for them."""
    source, replica = owned.server, sources(f"{owned.server.flavor}-replica").server
    with replicating(scene, replica):
        scene.run(TABLE, "INSERT INTO test VALUES (1)")
        wait_for_replica(source, replica)
    scene.run("INSERT INTO test VALUES (2)")
    scene.caught_up()

    source_link.target = replica.host, replica.port
    refused(scene)
    replica.run("INSERT INTO test VALUES (10)", database=scene.database)
    replica.run("INSERT INTO test VALUES (11)", "INSERT INTO test VALUES (12)", database=scene.database)
    refused(scene)

    source_link.target = source.host, source.port
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]
    _forget(replica, scene)


@either
def test_a_running_capture_that_is_led_to_a_source_without_what_was_captured_ends(
    owned: Owned, sources: OwnedSources, scene: Scene, source_link: Proxy
) -> None:
    """An automatic failover to a replica that was behind happens while it runs."""
    source, replica = owned.server, sources(f"{owned.server.flavor}-replica").server
    with replicating(scene, replica):
        scene.run(TABLE, "INSERT INTO test VALUES (1)")
        wait_for_replica(source, replica)
    capture = scene.capture()
    scene.run("INSERT INTO test VALUES (2)")
    scene.wait_for(2)
    replica.run("INSERT INTO test VALUES (10)", database=scene.database)
    source_link.target = replica.host, replica.port
    source_link.cut()
    outcome = capture.end()
    assert outcome.code == 3, outcome.err
    assert scene.changes() == [("write", (1,)), ("write", (2,))]
    _forget(replica, scene)


@in_turn("mariadb")
def test_a_source_that_was_restored_from_a_backup_is_refused(owned: Owned, scene: Scene, tmp_path: Path) -> None:
    """It has the same name and lacks what was captured since; to go on would mix two histories."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    owned.process.back_up(tmp_path / "backup")
    scene.run(*(f"INSERT INTO test VALUES ({n})" for n in range(2, 20)))
    scene.caught_up()
    owned.process.restore(tmp_path / "backup")
    scene.run("INSERT INTO test VALUES (100)")
    refused(scene)


@either
def test_a_log_that_was_purged_before_it_was_read_is_refused(scene: Scene) -> None:
    """What was purged is a gap; to go on behind it in silence would hide it."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    scene.caught_up()
    scene.run("INSERT INTO test VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (3)")
    purge_until_the_last(scene)
    refused(scene)
    assert scene.command("checkpoint", "set", "earliest").code == 0
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (3,))]


def _forget(server: Server, scene: Scene) -> None:
    """The database on the server that the scene does not clear."""
    server.run(f"DROP DATABASE IF EXISTS {scene.database}")
