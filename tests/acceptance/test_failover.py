"""
Another server takes over: before the capture has read anything with a global id, and while an XA transaction waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.command import until
from tests.proxy import Proxy
from tests.scenes import FULL_METADATA, MakeScene, Scene, Server
from tests.services import native

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"


@dataclass(frozen=True, slots=True)
class Failover:
    """
    A scene on a server whose log holds nothing, and a `successor` like it.

    Both have the scene's table, of which no log tells.
    """

    scene: Scene
    successor: Server
    link: Proxy

    def happens(self) -> None:
        """The capture's address leads to the successor from now on."""
        self.scene.server = self.successor
        self.link.target = self.successor.host, self.successor.port
        self.link.cut()

    def run_there(self, *statements: str) -> None:
        self.successor.run(*statements, database=self.scene.database)


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    begin = native.mysql if request.param == "mysql" else native.mariadb
    with ExitStack() as running:
        first, second = (
            Server(running.enter_context(begin(tmp_path_factory.mktemp(request.param), FULL_METADATA)).dsn)
            for _ in range(2)
        )
        yield first, second


@pytest.fixture
def failover(servers: tuple[Server, Server], make_scene: MakeScene) -> Iterator[Failover]:
    server, successor = servers
    with Proxy(server.host, server.port) as link:
        scene = make_scene(server)
        scene.settings["MEEPO2_SOURCE_DSN"] = f"mysql://root:@127.0.0.1:{link.port}/"
        successor.run(f"CREATE DATABASE {scene.database} CHARACTER SET utf8mb4")
        for one in servers:
            one.run(TABLE, "RESET MASTER", database=scene.database)
        yield Failover(scene, successor, link)
        server.run(f"DROP DATABASE IF EXISTS {scene.database}")


def test_a_capture_that_has_read_nothing_goes_on_at_the_server_that_took_over(failover: Failover):
    """The set of what it has read is empty; taken for none, the file of the old server is looked for on the new one."""
    failover.scene.caught_up("--start", "latest")
    checkpoint = failover.scene.checkpoint()
    assert checkpoint is not None
    assert checkpoint.gtid_set == ""
    failover.run_there("FLUSH BINARY LOGS", "INSERT INTO test VALUES (1)", "FLUSH BINARY LOGS")
    failover.happens()
    failover.scene.caught_up()
    failover.run_there("INSERT INTO test VALUES (2)")
    failover.scene.caught_up()
    assert failover.scene.changes() == [("write", (1,)), ("write", (2,))]


def test_a_server_that_took_over_and_lost_its_beginning_is_refused(failover: Failover):
    """Before the first global id everything is still to come, and a part of it is gone."""
    failover.scene.caught_up("--start", "latest")
    failover.run_there("INSERT INTO test VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (2)")
    _purge_all_but_the_last(failover.successor)
    failover.happens()
    outcome = failover.scene.once()
    assert outcome.code == 3, outcome.err
    assert "checkpoint set" in outcome.complaint
    assert failover.scene.changes() == []


def _purge_all_but_the_last(server: Server) -> None:
    """MariaDB keeps a file for a moment, until its engine has all of it."""
    newest = server.end().split(":")[0]

    def purged() -> bool:
        server.run(f"PURGE BINARY LOGS TO '{newest}'")
        return len(server.ask("SHOW BINARY LOGS")) == 1

    until(purged, f"{newest} is the oldest file")


@pytest.mark.parametrize("before", [[], ["INSERT INTO test VALUES (0)"]], ids=["first of all", "not the first"])
def test_an_xa_transaction_that_waits_is_decided_on_the_server_that_took_over(failover: Failover, before: list[str]):
    """Its rows are read again from where it begins, which is another place in the files of the new server."""
    scene, xid = failover.scene, failover.scene.database
    source, successor = scene.server, failover.successor
    with _replicating(source, successor):
        successor.run("FLUSH BINARY LOGS")
        capture = scene.capture("--start", "latest")
        prepare = f"XA START '{xid}'", "INSERT INTO test VALUES (1)", f"XA END '{xid}'", f"XA PREPARE '{xid}'"
        scene.run(*before, *prepare)
        scene.run("INSERT INTO test VALUES (2)")
        scene.wait_for(len(before) + 1)
        capture.kill()
        until(lambda: successor.executed() == source.executed(), "the successor has all")
    failover.happens()
    scene.caught_up()
    failover.run_there(f"XA COMMIT '{xid}'", "INSERT INTO test VALUES (3)")
    scene.caught_up()
    assert scene.changes() == [("write", (id,)) for id in ([0] if before else []) + [2, 1, 3]]
    source.run(f"XA ROLLBACK '{xid}'")


@contextmanager
def _replicating(source: Server, replica: Server) -> Iterator[None]:
    """From the beginning of the source's log, for as long as the block runs."""
    place = f"HOST = '127.0.0.1', {{0}}PORT = {source.port}, {{0}}USER = 'root', {{0}}CONNECT_RETRY = 1, {{0}}"
    if source.flavor == "mysql":
        where = "SOURCE_" + place.format("SOURCE_") + "AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1"
        replica.run(f"CHANGE REPLICATION SOURCE TO {where}", "START REPLICA")
        word = "REPLICA"
    else:
        where = "MASTER_" + place.format("MASTER_") + "USE_GTID = slave_pos"
        replica.run("SET GLOBAL gtid_slave_pos = ''", f"CHANGE MASTER TO {where}", "START SLAVE")
        word = "SLAVE"
    try:
        yield
    finally:
        replica.run(f"STOP {word}", f"RESET {word} ALL")
