"""
Servers that cannot be captured are refused at the start, with the statement that mends them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenes import MakeScene, Scene, Server, both, both_own
from tests.services import native

SET = {"mysql": "SET PERSIST", "mariadb": "SET GLOBAL"}


@pytest.mark.parametrize("value", ["STATEMENT", "MIXED"])
@both_own
def test_a_server_that_logs_statements_is_refused(scene: Scene, value: str) -> None:
    """S17.  The predecessor ran, and delivered nothing."""
    with scene.server.having(binlog_format=f"'{value}'"):
        outcome = scene.once()
    assert outcome.code == 2
    assert f"binlog_format={value}" in outcome.complaint
    assert f"{SET[scene.server.flavor]} binlog_format = ROW;" in outcome.complaint


@both_own
def test_a_server_with_minimal_row_images_is_refused(scene: Scene) -> None:
    """S17.  The predecessor took a random number for the key of an update."""
    with scene.server.having(binlog_row_image="'MINIMAL'"):
        outcome = scene.once()
    assert outcome.code == 2
    assert "binlog_row_image=MINIMAL" in outcome.complaint
    assert f"{SET[scene.server.flavor]} binlog_row_image = FULL;" in outcome.complaint


@both
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("SELECT, REPLICATION CLIENT", "REPLICATION SLAVE"),
        ("SELECT, REPLICATION SLAVE", {"mysql": "REPLICATION CLIENT", "mariadb": "BINLOG MONITOR"}),
    ],
)
def test_an_account_that_may_not_replicate_is_refused(scene: Scene, given: str, missing: str | dict[str, str]) -> None:
    """S17.  The grant is named, for the account that lacks it."""
    user = scene.account(grants=given)
    scene.log_in_as(user)
    grant = missing if isinstance(missing, str) else missing[scene.server.flavor]
    outcome = scene.once()
    assert outcome.code == 2
    assert f"GRANT {grant} ON *.* TO '{user}'@'127.0.0.1';" in outcome.complaint


@pytest.fixture(scope="module")
def without_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with native.mariadb(tmp_path_factory.mktemp("without-log"), ["skip_log_bin"]) as server:
        yield Server(server.dsn)


def test_a_server_without_a_log_is_refused(make_scene: MakeScene, without_log: Server) -> None:
    """S17.  There is nothing to read, and waiting would look like having nothing to do."""
    outcome = make_scene(without_log).once()
    assert outcome.code == 2
    assert "log_bin=OFF" in outcome.complaint
    assert "Add log_bin and server_id to the server's configuration, and restart it." in outcome.complaint


@both_own
def test_a_statement_that_a_session_logs_as_text_stops_the_capture(scene: Scene) -> None:
    """S17.  The global setting does not bind a session; its changes would be lost in silence."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    scene.run("SET SESSION binlog_format = STATEMENT", "INSERT INTO test VALUES (1)")
    scene.run("INSERT INTO test VALUES (2)")
    outcome = scene.once()
    assert outcome.code == 5
    assert "statement as text, INSERT" in outcome.complaint
    assert "binlog_format was not ROW in that session" in outcome.complaint
    scene.caught_up(MEEPO2_CAPTURE_ON_UNREADABLE="skip")
    assert scene.changes() == [("write", (2,))]
