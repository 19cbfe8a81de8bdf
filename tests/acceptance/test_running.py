"""
Starting, stopping, being killed, being cut off.
"""

from __future__ import annotations

import re
import signal

import pytest

from tests.command import run, until
from tests.history import by_key
from tests.scenes import Scene, Server, both

TABLE = "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))"


@both
def test_once_ends_behind_the_last_change(scene: Scene) -> None:
    """S9.  A batch job that does not end, or ends early, cannot be built upon."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')", "INSERT INTO test VALUES (2, 'b')")
    outcome = scene.once()
    assert outcome.code == 0, outcome.err
    assert scene.changes() == [("write", (1,)), ("write", (2,))]


@both
@pytest.mark.parametrize("start", ["latest", None])
def test_once_ends_where_there_is_nothing_to_read(scene: Scene, start: str | None) -> None:
    """S9.  An empty log is no reason to wait."""
    outcome = scene.once(*(["--start", start] if start else []))
    assert outcome.code == 0, outcome.err
    assert scene.changes() == []


@both
def test_once_ends_where_there_is_nothing_new(scene: Scene) -> None:
    """S9.  The second run of a batch job is the usual one."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up()
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@both
def test_a_running_capture_delivers_later_rows_and_saves_its_position_when_stopped(
    scene: Scene, number: signal.Signals
) -> None:
    """S10.  Every deployment stops a service so; it must cost nothing."""
    scene.run(TABLE)
    capture = scene.capture()
    scene.run("INSERT INTO test VALUES (1, 'a')")
    assert scene.wait_for(1, seconds=10) == [("write", (1,))]
    scene.run("INSERT INTO test VALUES (2, 'b')")
    outcome = capture.stop(number)
    assert outcome.code == 0, outcome.err
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]
    checkpoint = scene.checkpoint()
    last = max(one.action.seq for one in scene.reads() if one.action)
    assert checkpoint is not None
    assert checkpoint.seq == last


@both
def test_a_kill_inside_a_statement_of_many_events_loses_and_repeats_nothing(scene: Scene) -> None:
    """S11.  The predecessor crashed, or lost all 200, when it went on inside a transaction."""
    rows = ", ".join(f"({n}, '{'x' * 200}')" for n in range(200))
    scene.run(TABLE)
    capture = scene.capture(MEEPO2_CAPTURE_COMMIT_ROWS="30")
    scene.run(f"INSERT INTO test VALUES {rows}")
    scene.wait_for(1)
    capture.kill()
    scene.caught_up()
    assert by_key(scene.changes()) == {(n,): ["write"] for n in range(200)}


@both
def test_a_killed_dump_connection_repeats_nothing(scene: Scene) -> None:
    """S12.  The predecessor read the file again from its head: 1, 2, 1, 2, 3."""
    user = scene.account()
    scene.log_in_as(user)
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')", "INSERT INTO test VALUES (2, 'b')")
    capture = scene.capture()
    scene.wait_for(2)
    scene.server.run(*(f"KILL {number}" for number in until(lambda: scene.server.dumps_of(user), "a dump")))
    scene.run("INSERT INTO test VALUES (3, 'c')")
    assert scene.wait_for(3) == [("write", (1,)), ("write", (2,)), ("write", (3,))]
    capture.wait_for("The connection to the source was lost")
    assert capture.stop().code == 0
    assert len(scene.changes()) == 3


def test_a_percent_encoded_password_logs_in(scene: Scene) -> None:
    """S18.  Passwords with @ and % are made by every generator."""
    scene.log_in_as(scene.account("p@ss%1"), "p%40ss%251")
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]


def _replicas(server: Server) -> set[int]:
    query = "SHOW REPLICAS" if server.flavor == "mysql" else "SHOW SLAVE HOSTS"
    return {int(row["Server_Id" if "Server_Id" in row else "Server_id"]) for row in server.ask(query)}


@both
def test_a_chosen_server_id_is_seen_in_the_list_of_replicas(scene: Scene) -> None:
    """S19.  An administrator must be able to tell who reads the log."""
    scene.capture("--server-id", "424242")
    until(lambda: 424242 in _replicas(scene.server), "the replica 424242")


@both
def test_server_ids_differ_between_sources_and_stay_the_same_for_one(scene: Scene) -> None:
    """S19.  Two readers with one id throw each other out; one with changing ids cannot be told."""
    one, two = _default_id(scene, "one"), _default_id(scene, "two")
    assert one != two
    scene.capture("--source-name", "one")
    scene.capture("--source-name", "two")
    until(lambda: {one, two} <= _replicas(scene.server), "both replicas")
    assert _default_id(scene, "one") == one


def _default_id(scene: Scene, source: str) -> int:
    """As `check` tells it."""
    told = run("check", settings={**scene.settings, "MEEPO2_SOURCE_NAME": source})
    found = re.search(r"the capture (\d+)", told.out)
    assert found is not None, told.out
    return int(found[1])


@both
def test_two_captures_with_one_server_id_end_one_with_a_clear_line(scene: Scene) -> None:
    """S19.  Otherwise they throw each other out for ever, and nobody knows why little arrives."""
    first = scene.capture("--source-name", "one", "--server-id", "424243")
    until(lambda: 424243 in _replicas(scene.server), "the replica 424243")
    second = scene.capture("--source-name", "two", "--server-id", "424243")
    until(lambda: not (first.runs and second.runs), "the end of one of them")
    ended = first if not first.runs else second
    outcome = ended.end()
    assert outcome.code == 4
    assert "another replica" in outcome.complaint
    assert "server_id" in outcome.complaint


@both
def test_the_position_survives_a_rotation_of_the_log(scene: Scene) -> None:
    """A file that ends is left behind every day; what comes after it is in the next."""
    scene.run(TABLE)
    capture = scene.capture()
    scene.run("INSERT INTO test VALUES (1, 'a')", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (2, 'b')")
    scene.wait_for(2)
    capture.kill()
    scene.run("FLUSH BINARY LOGS", "INSERT INTO test VALUES (3, 'c')")
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,)), ("write", (3,))]
