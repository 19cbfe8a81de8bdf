"""
The harness at its smallest: a few rows, this program and the plain loop, and whether every key is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.data_sets import DATA_SETS, Written, write
from tests.benchmarks.drain import Failed, drain
from tests.benchmarks.floors import Verdict, verdicts
from tests.benchmarks.peer import OURS, PEERS, Peer
from tests.benchmarks.results import Results
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import KeyText, compared
from tests.sources import source_log

ROWS = 1500
LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def servers(kafka: str) -> Iterator[Servers]:
    """Those of all tests; the plain loop finds no keys without full metadata."""
    with closing(source_log("mysql")) as log, log.row_metadata("FULL"):
        address = log.source.address
        yield Servers(f"mysql://{address.user}:{address.password}@{address.host}:{address.port}/", kafka, own=False,
                      account=(address.user, address.password))  # fmt: skip


@pytest.fixture(scope="module", params=["composite", "oltp"])
def written(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Written]:
    schema = f"bench_{uuid.uuid4().hex[:8]}"
    with servers.session() as session:
        yield write(session, DATA_SETS[request.param], ROWS, schema)
        session.run(f"DROP DATABASE {schema}")


@pytest.mark.parametrize("peer", [OURS, PEERS["plain-loop"]], ids=lambda peer: peer.name)
def test_every_key_arrives_and_is_counted(peer: Peer, servers: Servers, written: Written, tmp_path: Path):
    """A rate of rows that did not arrive is no rate."""
    done = drain(peer, peer.install(), servers, written, tmp_path, LIMIT_SECONDS)
    assert (done.found.records, done.found.missing, done.found.unexpected) == (ROWS, 0, 0)
    assert done.rows_per_second > 0
    assert done.cpu_seconds + done.start_cpu_seconds > 0
    assert done.peak_bytes > 0


def test_a_peer_that_ends_is_told_with_its_last_words(servers: Servers, written: Written, tmp_path: Path):
    """It would otherwise be waited for until the time is up, and nobody would know why."""
    script = tmp_path / "run.sh"
    script.write_text("echo there is no such option >&2; exit 7")
    with pytest.raises(Failed, match="ended with 7\nthere is no such option"):
        drain(Peer("broken", "broken", script), tmp_path, servers, written, tmp_path, LIMIT_SECONDS)


def test_a_peer_that_reads_and_writes_nothing_is_told(
    servers: Servers, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Readers that cannot read a data set stay silent; a rate of nothing in no time would end the whole run."""
    monkeypatch.setattr("tests.benchmarks.drain.STALL_SECONDS", 0.5)
    deaf = replace(PEERS["plain-loop"], variables={"SCHEMA": "nothing"})
    with pytest.raises(Failed, match="it wrote no record"):
        drain(deaf, deaf.install(), servers, written, tmp_path, LIMIT_SECONDS)


def _message(key: bytes) -> Any:
    return SimpleNamespace(key=lambda: key, value=lambda: b"{}")


def test_a_lost_key_is_found_and_so_is_one_that_was_never_written():
    """Counting records alone would take a repeated record for a lost one."""
    found = compared(map(_message, (b"1", b"[1]", b'{"id": 4}')), {"1", "2", "3"})
    assert (found.records, found.missing, found.unexpected, found.complete) == (3, 2, 1, False)


@pytest.mark.parametrize(
    "key",
    [
        b'[7, "a", 2]',
        b'{"tenant": 7, "code": "a", "line": 2}',
        b'{"schema": {"type": "struct"}, "payload": {"tenant": 7, "code": "a", "line": 2}}',
        b'{"database": "shop", "table": "t", "pk.tenant": 7, "pk.code": "a", "pk.line": 2}',
    ],
)
def test_keys_of_all_peers_are_read_as_the_same(key: bytes):
    """A peer must not look incomplete for spelling its keys in another way."""
    assert KeyText().of(key) == "7|a|2"


def test_what_was_not_measured_neither_passes_nor_fails():
    """A floor that silently passes without a figure would be believed."""
    assert all(one.meets(one.floor) is None for one in verdicts(Results()))


@pytest.mark.parametrize(("found", "at_most", "met"), [(2.0, False, False), (2.2, False, True), (2.3, True, False)])
def test_a_floor_is_met_from_its_own_value_on(found: float, at_most: bool, met: bool):
    """The wrong side would turn every verdict round."""
    assert Verdict("", found, 2.2, at_most=at_most).meets(2.2) is met
