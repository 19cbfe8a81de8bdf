"""
What is published was committed by the source, and not only logged.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.command import until
from tests.scenes import MakeScene, Scene, Server

NOT_YET = "The source has not committed yet what is in its log"
FOR_LONG_MS = 600_000
_NAMES = {"mysql": "source", "mariadb": "master"}


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in parts"])
def test_a_row_is_there_before_its_record(
    flavor: str, whole: bool, request: pytest.FixtureRequest, make_scene: MakeScene
) -> None:
    """
    A commit waits for a replica while the log is sent on.  Who would read the row at its record got the old one, and
    would never hear of the new one; and if the server dies now, its successor does not have the row at all.
    """
    scene = make_scene(request.getfixturevalue(flavor))
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    capture = scene.capture(**({} if whole else {"MEEPO2_CAPTURE_COMMIT_ROWS": "10"}))
    scene.wait_for(1)
    with ExitStack() as waiting, waiting_for_a_replica(scene.server):
        _insert(scene, waiting)
        until(lambda: NOT_YET in capture.said, "it has read what is logged")
        assert scene.ask("SELECT id FROM test") == [{"id": 1}]
        assert scene.changes() == [("write", (1,))]
        stop_waiting(scene.server)
    scene.wait_for(101)
    assert capture.stop().code == 0, capture.said


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_an_end_while_the_source_has_not_committed_publishes_nothing(
    flavor: str, request: pytest.FixtureRequest, make_scene: MakeScene
) -> None:
    """A deployment must not hang for as long as a replica is away, and the rows must come with the next start."""
    scene = make_scene(request.getfixturevalue(flavor))
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    capture = scene.capture()
    scene.wait_for(1)
    with ExitStack() as waiting, waiting_for_a_replica(scene.server):
        _insert(scene, waiting)
        until(lambda: NOT_YET in capture.said, "it has read what is logged")
        outcome = capture.stop()
        assert outcome.code == 1
        assert "does not show transactions that are in its log" in outcome.complaint
        assert scene.changes() == [("write", (1,))]
        stop_waiting(scene.server)
    scene.caught_up()
    assert len(scene.changes()) == 101


def _insert(scene: Scene, waiting: ExitStack) -> None:
    """A hundred rows by a connection that does not return until its commit is over."""
    rows = ", ".join(f"({n})" for n in range(2, 102))
    thread = threading.Thread(target=scene.run, args=(f"INSERT INTO test VALUES {rows}",))
    waiting.callback(thread.join)
    thread.start()


@contextmanager
def waiting_for_a_replica(server: Server) -> Iterator[None]:
    """Commits wait for the acknowledgement of a replica that is not there, between the log and the engine."""
    name = f"rpl_semi_sync_{_NAMES[server.flavor]}"
    if server.flavor == "mysql":
        server.run("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
    before = {one: server.variable(f"{name}_{one}") for one in ("timeout", "wait_point")}
    server.run(
        f"SET GLOBAL {name}_timeout = {FOR_LONG_MS}", f"SET GLOBAL {name}_wait_point = AFTER_SYNC",
        f"SET GLOBAL {name}_enabled = ON",
    )  # fmt: skip
    try:
        yield
    finally:
        stop_waiting(server)
        server.run(
            f"SET GLOBAL {name}_timeout = {before['timeout']}",
            f"SET GLOBAL {name}_wait_point = {before['wait_point']}",
        )
        if server.flavor == "mysql":
            server.run("UNINSTALL PLUGIN rpl_semi_sync_source")


def stop_waiting(server: Server) -> None:
    server.run(f"SET GLOBAL rpl_semi_sync_{_NAMES[server.flavor]}_enabled = OFF")
