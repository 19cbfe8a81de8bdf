"""
Tables whose rows cannot be named.
"""

from __future__ import annotations

import socket
import urllib.request

from tests.command import until
from tests.scenes import Scene, both


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@both
def test_a_table_without_key_is_warned_of_once_and_counted(scene: Scene) -> None:
    """S5.  Changes that are passed over in silence are believed to be captured."""
    scene.run("CREATE TABLE bare (a INT)", "CREATE TABLE keyed (id INT PRIMARY KEY)")
    port = _free_port()
    capture = scene.capture(MEEPO2_CAPTURE_METRICS_PORT=str(port))
    scene.run("INSERT INTO bare VALUES (1)", "INSERT INTO bare VALUES (2)", "INSERT INTO keyed VALUES (1)")
    scene.wait_for(1)
    counter = f'meepo2_cdc_rows_events_skipped_total{{reason="no-primary-key",table="{scene.database}.bare"}} 2.0'

    def counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            return counter in page.read().decode()

    until(counted, counter)
    ended = capture.stop()
    assert scene.changes() == [("write", (1,))]
    warnings = [line for line in ended.err.splitlines() if f"{scene.database}.bare" in line and "warning" in line]
    assert len(warnings) == 1, ended.err
    assert "no primary key" in warnings[0]


@both
def test_check_names_tables_without_key(scene: Scene) -> None:
    """S5.  They should be found before a capture passes them over."""
    scene.run("CREATE TABLE bare (a INT)", "CREATE TABLE keyed (id INT PRIMARY KEY)")
    outcome = scene.command("check")
    assert outcome.code == 0, outcome.err
    assert f"1 tables without a primary key: {scene.database}.bare" in outcome.out
