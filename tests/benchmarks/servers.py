"""
The servers of the benchmarks: a MySQL and a Kafka of their own, so that nothing else is in the log or in the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from tests.services import kafka as kafka_builds
from tests.services import native, places, running

USER = PASSWORD = "bench"  # noqa: S105  of a server that lives as long as the run
MYSQL_OPTIONS = (
    "binlog_row_metadata=FULL",  # the readers that are not ours find no names and keys without it
    "max_binlog_size=1G",
    "sync_binlog=0",
    "innodb_flush_log_at_trx_commit=2",
    "innodb_buffer_pool_size=512M",
    "innodb_redo_log_capacity=1G",
    "max_connections=50",
    "tls_version=",  # some peers cannot speak it, and who can would pay for it alone
    "innodb_file_per_table=OFF",  # ten thousand tables are made in seconds
    "table_open_cache=20000",
    "open_files_limit=60000",
)
KAFKA_JVM = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")
KAFKA_SETTINGS = {"num.network.threads": "3", "num.io.threads": "4", "log.segment.bytes": str(256 << 20)}


@dataclass(frozen=True, slots=True)
class Servers:
    """
    Where the two are.  `own`: nobody else writes to the MySQL, so that its log may be begun anew.

    `account` is the one that peers use, with its password.
    """

    dsn: str
    kafka: str
    own: bool
    account: tuple[str, str]

    @property
    def mysql(self) -> tuple[str, int]:
        url = make_url(self.dsn)
        return url.host or "127.0.0.1", url.port or 3306

    @contextmanager
    def session(self) -> Iterator[Session]:
        url = make_url(self.dsn)
        host, port = self.mysql
        with closing(pymysql.connect(
            host=host, port=port, user=url.username or "", password=str(url.password or ""), autocommit=True
        )) as connection:  # fmt: skip
            yield Session(connection, own=self.own)


class Session:
    """An account that may do everything."""

    def __init__(self, connection: pymysql.Connection[Any], *, own: bool) -> None:
        self._connection = connection
        self._own = own

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    @contextmanager
    def unlogged(self) -> Iterator[None]:
        self.run("SET SESSION sql_log_bin = 0")
        yield
        self.run("SET SESSION sql_log_bin = 1")

    def begin_log(self) -> tuple[str, int, str]:
        """A new file: its name, where it begins, and the transactions before it."""
        if self._own:
            self.run("RESET MASTER")
            # Debezium's client cannot begin behind an empty set
            self.run("CREATE DATABASE IF NOT EXISTS bench_before")
        self.run("FLUSH BINARY LOGS")
        file, *_, gtid_set = self.run("SHOW MASTER STATUS")[0]
        return str(file), 4, str(gtid_set).replace("\n", "")

    def log_bytes(self, file: str, position: int) -> int:
        """What the log has grown to since."""
        sizes = {str(row[0]): int(row[1]) for row in self.run("SHOW BINARY LOGS")}
        return sum(size for name, size in sizes.items() if name >= file) - position

    def dumps(self) -> set[int]:
        """The connections on which the server is sending its log."""
        rows = self.run("SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
        return {int(row[0]) for row in rows}

    def make_account(self) -> None:
        """The one that all peers use, which the older of them can log in with."""
        with self.unlogged():
            self.run(f"CREATE USER IF NOT EXISTS {USER}@'%' IDENTIFIED WITH mysql_native_password BY '{PASSWORD}'")
            self.run(f"GRANT ALL ON *.* TO {USER}@'%'")

    @property
    def version(self) -> str:
        return str(self.run("SELECT VERSION()")[0][0])


class _BenchKafka(native.PrivateKafka):
    """With the heap and the compiler of a broker that has work, where the tests' own starts fast and stays small."""

    def _command(self) -> running.Command:
        command = super()._command()
        java, *rest = command.argv
        kept = [word for word in rest if not word.startswith(("-Xms", "-Xmx", "-XX:"))]
        return running.Command([java, *KAFKA_JVM, *kept], command.environment)

    def _settings(self) -> dict[str, str]:
        return {**super()._settings(), **KAFKA_SETTINGS}


@contextmanager
def own_servers() -> Iterator[Servers]:
    """Started afresh, and gone with all their data at the end."""
    directory = places.STATE / "bench"
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("mysql", "kafka"):
        (directory / name).mkdir(parents=True)
    kafka = _BenchKafka(directory / "kafka", running.ports(_made(directory / "proxy"), 1)[0], {})
    try:
        kafka.start()
        with native.mysql(directory / "mysql", MYSQL_OPTIONS) as mysql:
            servers = Servers(mysql.dsn, kafka.address, own=True, account=(USER, PASSWORD))
            with servers.session() as session:
                session.make_account()
            yield servers
    finally:
        kafka.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


KAFKA_VERSION = kafka_builds.VERSION
