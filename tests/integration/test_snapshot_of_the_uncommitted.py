"""
A chunk beside changes that the stream has given out, and the source itself does not show yet.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.snapshot.requests import Start, encoded
from meepo2_cdc.kafka.control import send
from meepo2_cdc.records.snapshot import TableName
from tests import history
from tests.command import until
from tests.faults.test_snapshot import faults_of
from tests.integration.test_committed_at_the_source import NOT_YET, stop_waiting, waiting_for_a_replica
from tests.scenes import MakeScene

CONNECTIONS = 4
"""Of a capture that reads a chunk: the log, the catalog, the visibility, the chunk."""
LONG_ENOUGH = 30
"""So many questions take longer than a chunk of a hundred rows."""


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_a_chunk_waits_until_the_source_shows_what_the_stream_has_given_out(
    flavor: str, request: pytest.FixtureRequest, make_scene: MakeScene
) -> None:
    """
    Deletes that are logged and not committed are in the stream before the chunk is asked for, and its query still sees
    the rows: told behind their deletes, they would stay in every target.
    """
    scene = make_scene(request.getfixturevalue(flavor))
    scene.run("CREATE TABLE t (id INT PRIMARY KEY)")
    scene.run(f"INSERT INTO t VALUES {', '.join(f'({n})' for n in range(100))}")
    user = scene.account()
    scene.log_in_as(user)
    capture = scene.capture("--start", "latest")
    kafka = {"bootstrap.servers": scene.kafka}
    with ExitStack() as waiting, waiting_for_a_replica(scene.server):
        thread = threading.Thread(target=scene.run, args=("DELETE FROM t WHERE id < 50",))
        waiting.callback(thread.join)
        thread.start()
        until(lambda: NOT_YET in capture.said, "it has read what is logged")
        table = Start((TableName(scene.database, "t"),))
        send(kafka, AdminClient(kafka), f"{scene.prefix}.control.db", 1, encoded(table))
        count = f"SELECT COUNT(*) AS n FROM information_schema.PROCESSLIST WHERE USER = '{user}'"
        until(lambda: scene.ask(count)[0]["n"] >= CONNECTIONS, "a chunk is asked for")
        for _ in range(LONG_ENOUGH):
            assert len(scene.ask("SELECT id FROM t")) == 100
        stop_waiting(scene.server)
    until(lambda: "outcome=done" in capture.said, "the snapshot is over")
    assert capture.stop().code == 0
    assert faults_of(history.actions(scene.reads()), set(range(50, 100))) == []
