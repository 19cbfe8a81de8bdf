"""
`meepo2-cdc capture --explain-layout`.
"""

from __future__ import annotations

from tests.scenes import Scene, both


@both
def test_the_functions_that_read_a_table_are_printed_and_nothing_is_captured(scene: Scene) -> None:
    """Whoever doubts a key could not see how it was taken out of the row."""
    scene.run("CREATE TABLE seat (id INT PRIMARY KEY, who VARCHAR(300) NULL, at DATETIME NULL)")
    start = scene.server.end()
    scene.run("INSERT INTO seat VALUES (1, 'a', NULL), (2, NULL, NULL)", "UPDATE seat SET who = 'b' WHERE id = 1")
    outcome = scene.command("capture", "--start", start, "--explain-layout", f"{scene.database}.seat")
    assert outcome.code == 0, outcome.err
    inserts, updates = outcome.out.split("# ")[1:]
    assert inserts.startswith(f"{scene.database}.seat, layout 1 of 1: inserts and deletes of 3 columns, the key in")
    assert inserts.count("if nulls == ") == 2  # of the bits that stand for no column, each server makes what it likes
    assert updates.startswith(f"{scene.database}.seat, layout 1 of 1: updates")
    compile(inserts.partition("\n")[2], "inserts", "exec")
    assert scene.checkpoint() is None


@both
def test_a_table_without_rows_in_the_log_is_told(scene: Scene) -> None:
    """Nothing at all would look like a table that is read by nothing."""
    start = scene.server.end()
    outcome = scene.command("capture", "--start", start, "--explain-layout", f"{scene.database}.seat")
    assert outcome.code == 2
    assert f"holds no rows of {scene.database}.seat" in outcome.complaint
