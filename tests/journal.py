"""
A connector of somebody else's: installed beside the command, found by it, and as small as a connector can be.

It appends a line for each record to a file, so that whole histories can be compared.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.command import SECONDS, Running, until

CONNECTOR = '''
"""Appends each record to a file, as a line of JSON."""

import json, os, time
from pathlib import Path
from meepo2_cdc.replay.sink import Connector, ConnectorSettings, Rejected, TryAgain


class Settings(ConnectorSettings):
    path: Path
    """The file."""
    away: Path = Path("/nonexistent")
    """While this file is there, the target is away."""
    refused: Path = Path("/nonexistent")
    """While this file is there, records whose key begins with 13 are rejected."""
    seconds: float = 0.0
    """How long a record takes."""


class Journal:
    def __init__(self, settings):
        self.settings = settings

    def open(self):
        if self.settings.away.exists():
            raise TryAgain("the target is away")
        self.file = os.open(self.settings.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def apply(self, batch):
        if self.settings.away.exists():
            raise TryAgain("the target is away")
        if self.settings.refused.exists() and (bad := [one for one in batch if one.pk[:1] == (13,)]):
            raise Rejected("thirteen is refused", bad)
        time.sleep(self.settings.seconds * len(batch))
        lines = (json.dumps([os.getpid(), one.table, one.action, one.pk, one.seq]) + "\\n" for one in batch)
        os.write(self.file, "".join(lines).encode())

    def close(self):
        os.close(self.file)


connector = Connector(
    summary="Append to a file.", settings=Settings, sink=lambda own, context: Journal(own), coalesce=False
)
'''


def install(directory: Path, name: str, source: str, version: str = "1.0") -> Path:
    """What `pip install --target` leaves of a package that brings one connector; the directory, for PYTHONPATH."""
    (directory / f"{name}_connector.py").write_text(source)
    told = directory / f"{name}_connector-{version}.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-connector\nVersion: {version}\n")
    (told / "entry_points.txt").write_text(f"[meepo2_cdc.connectors]\n{name} = {name}_connector:connector\n")
    return directory


@dataclass(frozen=True, slots=True)
class Line:
    """One record as it was applied."""

    pid: int
    table: str
    action: str
    pk: tuple[object, ...]
    seq: int


class Journal:
    """The installed connector, the processes that run it, and what they wrote."""

    def __init__(self, directory: Path, kafka: str, prefix: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        install(directory, "journal", CONNECTOR)
        self.path, self.away, self.refused = (directory / name for name in ("lines", "away", "refused"))
        self.group = f"{prefix}.journal"
        self.settings = {
            "PYTHONPATH": str(directory),
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "MEEPO2_PREFIX": prefix,
            "MEEPO2_JOURNAL_PATH": str(self.path),
            "MEEPO2_JOURNAL_AWAY": str(self.away),
            "MEEPO2_JOURNAL_REFUSED": str(self.refused),
            "MEEPO2_RUN_COMMIT_INTERVAL_MS": "50",
            "MEEPO2_RUN_RETRY_SECONDS": "0.01",
            "MEEPO2_RUN_RETRY_MAX_SECONDS": "0.2",
            **settings,
        }
        self.running: list[Running] = []
        self._lock = threading.Lock()

    def start(self, *flags: str, **settings: str) -> Running:
        """`run journal`, which may not yet have any partition."""
        one = Running(["run", "journal", *flags], {**self.settings, **settings})
        with self._lock:
            self.running.append(one)
        return one

    def close(self) -> None:
        for one in self.running:
            one.kill()

    def wait(self, found: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """As `until`; a failure shows what the processes said."""
        try:
            until(found, what, seconds)
        except AssertionError as error:
            said = "\n".join(
                f"--- {one.pid}, which ended with {one.process.poll()}\n{one.said}" for one in self.running
            )
            raise AssertionError(f"{error}; {len(self.seqs())} records were applied\n{said}") from None

    def lines(self) -> list[Line]:
        """All that was applied, in order; a line that is being written is left out."""
        if not self.path.exists():
            return []
        whole = self.path.read_text().rpartition("\n")[0].splitlines()
        return [Line(pid, table, action, tuple(pk), seq) for pid, table, action, pk, seq in map(json.loads, whole)]

    def seqs(self) -> set[int]:
        return {one.seq for one in self.lines()}


def judge(lines: list[Line], written: Mapping[int, tuple[object, ...]]) -> int:
    """Every record at least once, those of a key first in their order; how many came more than once."""
    found = {one.seq for one in lines}
    assert found == set(written), f"{len(set(written) - found)} lost, {len(found - set(written))} never written"
    by_key: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for one in lines:
        assert one.pk == written[one.seq]
        by_key[one.pk].append(one.seq)
    for pk, seqs in by_key.items():
        firsts = list(dict.fromkeys(seqs))
        assert firsts == sorted(firsts), f"the records of {pk} were first applied out of order: {seqs}"
    return len(lines) - len(found)
