"""
The programs that are compared: how each is got, and how it is run.  peers/README.md is the contract.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.data_sets import Written
from tests.benchmarks.servers import Servers
from tests.services import places, running

FOLDER = Path(__file__).resolve().parent / "peers"
PARTITIONS = 4
_END_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Peer:
    """
    A program that reads a MySQL log and writes to Kafka.

    `script` is what runs it, in a folder with an `install.sh` unless nothing needs to be got; `variables` are those
    that it gets beside the contract's.
    """

    name: str
    title: str
    script: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def install(self) -> Path:
        """What `install.sh` made, once for each state of the peer's folder; Unavailable with its last words."""
        folder = self.script.parent
        program = folder / "install.sh"
        if not program.exists():
            return folder

        def fill(new: Path) -> None:
            settings = {"PEER_HOME": str(new), "PYTHON": sys.executable}
            print(f"installing {self.name}, once", file=sys.stderr, flush=True)
            try:
                running.run(running.Command(["bash", str(program)], settings))
            except running.Unavailable as failure:
                raise running.Unavailable(failure.log.strip() or failure.what, failure.log) from failure

        return places.cached(f"bench-{folder.name}-{_digest(folder)}", fill)


def _digest(folder: Path) -> str:
    """Of everything that was written for the peer, so that a change makes it anew."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "target" not in path.parts):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


OURS = Peer("meepo2-cdc", "meepo2-cdc", FOLDER / "meepo2-cdc/run.sh")
PEERS = {
    one.name: one
    for one in (
        OURS,
        Peer("debezium", "Debezium 3.6.3 in Kafka Connect 4.3.1", FOLDER / "debezium/connect.sh"),
        Peer("debezium-embedded", "Debezium 3.6.3, embedded engine", FOLDER / "debezium/embedded.sh"),
        Peer("go-mysql", "Go: go-mysql 1.16, franz-go 1.22", FOLDER / "go-mysql/run.sh"),
        Peer("rust", "Rust: mysql_cdc 0.2.1, rdkafka 0.39", FOLDER / "rust/run.sh"),
        Peer("plain-loop", "Python: mysql-replication 1.0.17, confluent-kafka", FOLDER / "plain-loop/run.sh"),
        Peer("meepo2", "meepo2 0.2.5 (2019) with a 0MQ subscriber", FOLDER / "meepo2/run.sh"),
    )
}


def given(text: str) -> Peer:
    """A peer from `name=/path/to/run.sh`."""
    name, _, path = text.partition("=")
    script = Path(path).resolve()
    if not path or not script.is_file():
        raise ValueError(f"{text!r} is no peer: expected a name of {', '.join(PEERS)}, or name=/path/to/run.sh")
    return Peer(name, name, script)


@dataclass(frozen=True, slots=True)
class Start:
    """One run of a peer: the process, the prefix of its topics, and the files that hold what it said."""

    process: subprocess.Popen[bytes]
    prefix: str
    directory: Path

    def said(self) -> str:
        return "\n".join(
            running.last_lines((self.directory / name).read_text(errors="replace"), 12) for name in ("out", "err")
        ).strip()


def new_prefix(peer: Peer) -> str:
    return f"bench-{peer.name}-{secrets.token_hex(4)}"


@contextmanager
def started(
    peer: Peer, home: Path, servers: Servers, written: Written, prefix: str, directory: Path
) -> Iterator[Start]:
    """The peer as it runs; asked to end afterwards, and made to when it does not."""
    directory.mkdir(parents=True, exist_ok=True)
    variables = {**_inherited(), **contract(home, servers, written, prefix, directory), **peer.variables}
    with (directory / "out").open("wb") as out, (directory / "err").open("wb") as err:
        process = subprocess.Popen(
            ["bash", str(peer.script)], cwd=directory, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield Start(process, prefix, directory)
    finally:
        _end(process)


def _inherited() -> dict[str, str]:
    """Nobody's settings may change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MEEPO2_")}


def contract(home: Path, servers: Servers, written: Written, prefix: str, directory: Path) -> Mapping[str, str]:
    """The variables that peers/README.md promises."""
    host, port = servers.mysql
    user, password = servers.account
    return {
        "MYSQL_HOST": host,
        "MYSQL_PORT": str(port),
        "MYSQL_USER": user,
        "MYSQL_PASSWORD": password,
        "KAFKA": servers.kafka,
        "SCHEMA": written.schema,
        "TABLE": written.table,
        "PREFIX": prefix,
        "TOPIC": f"{prefix}.{written.schema}.{written.table}",
        "BINLOG_FILE": written.file,
        "BINLOG_POSITION": str(written.position),
        "GTID_SET": written.gtid_set,
        "SERVER_ID": str(1_000_000 + secrets.randbelow(1_000_000_000)),
        "RUN_DIR": str(directory),
        "PEER_HOME": str(home),
        "PYTHON": sys.executable,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process group is our own child's, so nothing else is in it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and not _has_group(process.pid):
            return
        try:
            os.killpg(process.pid, number)
            process.wait(_END_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _has_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
