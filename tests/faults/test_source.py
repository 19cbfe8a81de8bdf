"""
The source and the link to it: restarted, killed, frozen, cut, slow; the capture goes on by itself.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import urllib.request

import pytest

from tests.command import until
from tests.faults import workload
from tests.faults.owned import Owned, either, in_turn, purge_until_the_last, wait_out
from tests.faults.trial import judge, loaded, survived
from tests.faults.watching import wait_for_progress
from tests.proxy import BOTH_WAYS, DOWN, Proxy
from tests.scenes import Scene

LOST = "The connection to the source was lost"
QUICK_TO_NOTICE = {"MEEPO2_SOURCE_HEARTBEAT_SECONDS": "0.5"}


@either
def test_a_source_that_is_restarted_and_one_that_crashes(scene: Scene, owned: Owned) -> None:
    """Its log goes on in another file, and its table numbers begin anew."""
    with survived(scene) as capture:
        owned.process.stop()
        owned.process.start()
        wait_for_progress(scene)
        owned.process.kill()
        owned.process.start()
    assert LOST in capture.said


@either
def test_a_dump_that_is_killed_again_and_again(scene: Scene, owned: Owned) -> None:
    """The reader's library goes on from where it was constructed, and repeats everything since."""
    user = scene.account()
    scene.log_in_as(user)
    with survived(scene) as capture:
        for count in range(1, 9):
            for dump in until(lambda: scene.server.dumps_of(user), "a dump"):
                scene.server.run(f"KILL {dump}")
            until(lambda count=count: capture.said.count(LOST) >= count, "the loss is noticed")
            wait_for_progress(scene)


@in_turn("mariadb")
def test_a_link_to_the_source_that_is_cut_again_and_again(scene: Scene, source_link: Proxy) -> None:
    """What was half received must be received again, and what was wholly received must not."""
    with survived(scene) as capture:
        for count in range(1, 9):
            source_link.cut()
            until(lambda count=count: capture.said.count(LOST) >= count, "the loss is noticed")
            wait_for_progress(scene)
        with source_link.refusing():
            until(lambda: capture.said.count(LOST) >= 9, "the loss is noticed")


@in_turn("mysql")
def test_a_link_to_the_source_that_is_slow_and_sliced(scene: Scene, source_link: Proxy) -> None:
    """Events come in pieces that end anywhere, within headers too."""
    with survived(scene) as capture:
        for weather in ({"piece_bytes": 7}, {"delay_seconds": 0.2}, {"bytes_per_second": 200_000}):
            with source_link.having(**weather):
                wait_for_progress(scene)
    assert LOST not in capture.said


@in_turn("mysql")
@pytest.mark.parametrize("silent", [BOTH_WAYS, frozenset((DOWN,))], ids=["both ways", "from the source"])
def test_a_link_to_the_source_that_falls_silent(scene: Scene, source_link: Proxy, silent: frozenset[str]) -> None:
    """A half-open connection is silent for ever; without heartbeats that looks like an idle source."""
    with survived(scene, **QUICK_TO_NOTICE) as capture, source_link.having(stalled=silent):
        capture.wait_for(LOST)
        source_link.cut()  # what waits in the link is gone with it


def _connected(port: int) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        found = re.search(r"^meepo2_cdc_source_connected (\S+)", page.read().decode(), re.MULTILINE)
    return found and found[1]


@in_turn("mariadb")
def test_a_source_that_is_frozen(scene: Scene, owned: Owned) -> None:
    """It takes connections and answers none: a virtual machine that is being moved."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with survived(scene, **QUICK_TO_NOTICE, MEEPO2_CAPTURE_METRICS_PORT=str(port)) as capture:
        until(lambda: _connected(port) == "1.0", "the gauge says that the log is followed")
        os.kill(owned.process.pid, signal.SIGSTOP)
        frozen = time.monotonic()
        try:
            capture.wait_for(LOST)
            until(lambda: _connected(port) == "0.0", "the gauge says that it is not")
            wait_out(frozen)
        finally:
            os.kill(owned.process.pid, signal.SIGCONT)


@in_turn("mysql")
def test_a_log_that_is_rotated_and_purged_behind_the_reader(scene: Scene) -> None:
    """What was read is not needed any more; an administrator purges it every day."""
    workload.prepare(scene)
    capture = scene.capture()
    scene.run("FLUSH BINARY LOGS")
    purge_until_the_last(scene)  # not before the capture has gone on to it
    with loaded(scene):
        for _ in range(3):
            wait_for_progress(scene)
            scene.run("FLUSH BINARY LOGS")
        wait_for_progress(scene)
    assert capture.stop().code == 0
    assert LOST not in capture.said
    judge(scene)
