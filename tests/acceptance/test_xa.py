"""
XA transactions: their rows are in the log before anybody knows whether they are committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.scenes import Scene, both, both_own

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"


@contextmanager
def prepared(scene: Scene, xid: str, *statements: str) -> Iterator[None]:
    """Prepared by a session that is gone, as after a crash of the application."""
    connection = scene.server.connect(scene.database)
    execute(connection, f"XA START '{xid}'", *statements, f"XA END '{xid}'", f"XA PREPARE '{xid}'")
    connection.close()
    yield
    undecided = [row["data"] for row in scene.ask("XA RECOVER")]
    if xid in undecided:
        scene.run(f"XA ROLLBACK '{xid}'")


def execute(connection: Any, *statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@both
def test_prepared_rows_come_at_their_commit_and_never_at_their_rollback(scene: Scene) -> None:
    """Rows at the prepare would be those of a transaction that may never be."""
    scene.run(TABLE)
    with (
        prepared(scene, f"{scene.database}-a", "INSERT INTO test VALUES (1), (2)"),
        prepared(scene, f"{scene.database}-b", "INSERT INTO test VALUES (10)"),
    ):
        scene.run("INSERT INTO test VALUES (5)")
        scene.caught_up()
        assert scene.changes() == [("write", (5,))]
        scene.run(f"XA COMMIT '{scene.database}-a'", f"XA ROLLBACK '{scene.database}-b'")
        scene.caught_up()
    assert scene.changes() == [("write", (5,)), ("write", (1,)), ("write", (2,))]


@both_own
def test_a_capture_restarted_between_prepare_and_commit_in_another_file_has_the_rows(scene: Scene) -> None:
    """The rows are behind the checkpoint then, and two log files back; nobody else has them."""
    scene.run(TABLE)
    with prepared(scene, f"{scene.database}-a", "INSERT INTO test VALUES (1), (2)"):
        scene.run("INSERT INTO test VALUES (5)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (6)")
        running = scene.capture()
        scene.wait_for(2)
        running.kill()
        scene.run("FLUSH BINARY LOGS", "INSERT INTO test VALUES (7)", f"XA COMMIT '{scene.database}-a'")
        scene.caught_up()
    scene.run("INSERT INTO test VALUES (8)")
    scene.caught_up()
    assert scene.changes() == [("write", (id,)) for id in (5, 6, 7, 1, 2, 8)]


@both_own
def test_an_undecided_transaction_is_shown_until_it_is_decided(scene: Scene) -> None:
    """It holds the log file in which it began; an operator who purges that file loses its rows."""
    scene.run(TABLE)
    with prepared(scene, f"{scene.database}-a", "INSERT INTO test VALUES (1)"):
        scene.caught_up()
        assert "undecided" in scene.command("status").out
        found = scene.checkpoint()
        assert found is not None
        assert found.undecided is not None
        assert found.undecided.file in scene.command("status").out
        scene.run(f"XA COMMIT '{scene.database}-a'")
        scene.caught_up()
    found = scene.checkpoint()
    assert found is not None
    assert found.undecided is None


@both_own
def test_a_large_prepared_transaction_is_split_at_its_commit_and_resumed_inside(scene: Scene) -> None:
    """Killed between two parts, the rest must follow and the first part must not come again."""
    scene.run(TABLE)
    rows = ", ".join(f"({n})" for n in range(2000))
    with prepared(scene, f"{scene.database}-a", f"INSERT INTO test VALUES {rows}"):
        scene.run(f"XA COMMIT '{scene.database}-a'")
        running = scene.launch(MEEPO2_CAPTURE_COMMIT_ROWS="100")
        scene.wait_for(1)
        running.kill()
        scene.caught_up()
    assert scene.changes() == [("write", (n,)) for n in range(2000)]


@both
def test_a_one_phase_commit_needs_no_decision(scene: Scene) -> None:
    """It is logged like a prepare, and no commit ever follows."""
    scene.run(TABLE)
    xid = f"{scene.database}-a"
    with scene.server.connect(scene.database) as connection:
        execute(
            connection,
            f"XA START '{xid}'",
            "INSERT INTO test VALUES (1)",
            f"XA END '{xid}'",
            f"XA COMMIT '{xid}' ONE PHASE",
        )
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]


@both_own
def test_a_rewind_between_prepare_and_commit_keeps_the_undecided_rows(scene: Scene) -> None:
    """Their prepare lies before the place rewound to; forgotten, their commit would stop the capture."""
    scene.run(TABLE)
    with prepared(scene, f"{scene.database}-a", "INSERT INTO test VALUES (1)"):
        place = scene.server.end()
        scene.run("INSERT INTO test VALUES (2)", f"XA COMMIT '{scene.database}-a'")
        scene.caught_up()
        assert scene.command("checkpoint", "rewind", "--to-file-pos", place).code == 0
        scene.caught_up()
    assert scene.changes() == [("write", (2,)), ("write", (1,))] * 2
