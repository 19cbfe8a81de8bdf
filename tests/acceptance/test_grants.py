"""
Accounts that may do less than is needed.
"""

from __future__ import annotations

from tests.scenes import Scene, both


@both
def test_an_account_that_may_not_see_a_table_is_told_so(scene: Scene) -> None:
    """A table that is not shown looks like one that was dropped, whose rows are passed over: all of them were lost."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.log_in_as(scene.account(grants="REPLICATION SLAVE, REPLICATION CLIENT"))
    outcome = scene.once()
    assert outcome.code == 2
    assert "SELECT command denied" in outcome.complaint
    assert "Traceback" not in outcome.err

    scene.settings["MEEPO2_SOURCE_DSN"] = scene.server.dsn
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]
