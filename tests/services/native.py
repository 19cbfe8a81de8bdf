"""
A private MySQL or MariaDB for one test, which may kill it: own directory, own port, own options.

    with native.mariadb(tmp_path, options=["binlog_row_metadata=FULL"]) as server:
        server.kill()
        server.start()
"""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services import mariadb as mariadb_builds
from tests.services import mysql as mysql_builds
from tests.services import running, sql


class PrivateServer:
    """
    A server that a test owns.

    Its port and data last as long as its directory, over all its starts.
    Changed `options` count from the next start.
    """

    def __init__(self, build: sql.Build, directory: Path, options: Sequence[str]) -> None:
        self.directory = directory.resolve()
        self.options = list(options)
        self._build = build
        self._port = running.ports(self.directory, 1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return sql.address("127.0.0.1", self._port)

    @property
    def pid(self) -> int:
        """For signals such as SIGSTOP; RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError(f"the server in {self.directory} does not run; start() it")
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers; nothing to do when it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        command = sql.command(self._build, self.directory, self._port, self.options)
        running.require_free(self.directory, [self._port])
        process = self._process = running.spawn(self.directory, command)
        if why := running.poll(lambda: sql.why_silent(self.dsn), 60, lambda: process.poll() is None):
            self.kill()
            raise running.Unavailable(f"the server in {self.directory} did not start: {why}", self.log())

    def stop(self) -> None:
        """An orderly end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """A crash: SIGKILL, and gone when this returns."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """The end of what it said since its last start."""
        return running.last_lines((self.directory / "log").read_text(errors="replace"))

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


@contextmanager
def mysql(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """A MySQL 8.0 that answers; `options` are lines of my.cnf.  Running or not, it is gone at the end."""
    yield from _run(mysql_builds.build8(), directory, options)


@contextmanager
def mysql9(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """The same of a MySQL 9."""
    yield from _run(mysql_builds.build9(), directory, options)


@contextmanager
def mariadb(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """The same of a MariaDB."""
    yield from _run(mariadb_builds.build(), directory, options)


def _run(build: sql.Build, directory: Path, options: Sequence[str]) -> Iterator[PrivateServer]:
    server = PrivateServer(build, directory, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
