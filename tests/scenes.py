"""
A scene: a fresh database on a real server, a fresh prefix in a real Kafka, and the command between them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import make_url

from meepo2_cdc.kafka.checkpoints import read_checkpoint
from meepo2_cdc.records.checkpoint import Checkpoint
from tests import history
from tests.command import SECONDS, Outcome, Running, run, until
from tests.services import native

FULL_METADATA = ["binlog_row_metadata=FULL"]
STARTED = "Capture started"


class Server:
    """A source server, asked and changed by its root account."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._url = make_url(dsn)
        self.flavor = "mariadb" if "MariaDB" in str(self.ask("SELECT VERSION() AS v")[0]["v"]) else "mysql"

    @property
    def host(self) -> str:
        return self._url.host or "127.0.0.1"

    @property
    def port(self) -> int:
        return self._url.port or 3306

    @property
    def user(self) -> str:
        return self._url.username or "root"

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self._url.password or "", database=database,
            charset="utf8mb4", autocommit=True, read_timeout=SECONDS, **options,
        )  # fmt: skip

    def run(self, *statements: str, database: str | None = None) -> None:
        """Each in a transaction of its own, unless they begin one."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def ask(self, query: str, database: str | None = None) -> list[dict[str, Any]]:
        with (
            self.connect(database) as connection,
            connection.cursor(pymysql.cursors.DictCursor) as cursor,
        ):
            cursor.execute(query)
            return list(cursor.fetchall())

    def dsn_of(self, user: str, password: str) -> str:
        """`password` percent-encoded, as a DSN has it."""
        return f"mysql://{user}:{password}@{self.host}:{self.port}/"

    def variable(self, name: str) -> str:
        return str(self.ask(f"SELECT @@GLOBAL.{name} AS v")[0]["v"])

    def executed(self) -> str:
        """The GTIDs of all transactions until now."""
        name = "gtid_binlog_pos" if self.flavor == "mariadb" else "gtid_executed"
        return self.variable(name).replace("\n", "")

    def end(self) -> str:
        """FILE:POSITION at which the log ends now."""
        row = self.ask("SHOW MASTER STATUS")[0]
        return f"{row['File']}:{row['Position']}"

    @contextmanager
    def having(self, **variables: str) -> Iterator[None]:
        """With global variables set otherwise for a while; only on a server of one's own."""
        before = {name: self.variable(name) for name in variables}
        self.run(*(f"SET GLOBAL {name} = {value}" for name, value in variables.items()))
        try:
            yield
        finally:
            self.run(*(f"SET GLOBAL {name} = '{value}'" for name, value in before.items()))

    def dumps_of(self, user: str) -> list[int]:
        """The connections on which the account is sent the log."""
        rows = self.ask("SHOW PROCESSLIST")
        return [row["Id"] for row in rows if row["User"] == user and str(row["Command"]).startswith("Binlog")]


class Scene:
    """
    One test's database, topics and commands.

    Captures begin at the state in which the test got the database, so that nothing of other tests is read.
    """

    def __init__(self, server: Server, kafka: str, prefix: str) -> None:
        self.server, self.kafka, self.prefix = server, kafka, prefix
        self.database = f"db_{uuid.uuid4().hex[:10]}"
        server.run(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        self.settings = {
            "MEEPO2_SOURCE_DSN": server.dsn,
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "MEEPO2_PREFIX": prefix,
            "MEEPO2_TABLES": f"{self.database}.*",
            "MEEPO2_CAPTURE_START": server.executed(),
        }
        self._running: list[Running] = []
        self._accounts: list[str] = []

    # -- the source

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def ask(self, query: str) -> list[dict[str, Any]]:
        return self.server.ask(query, self.database)

    def account(self, password: str = "Pw-of-a-test-1", grants: str | None = None) -> str:  # noqa: S107
        """A new account with what a capture needs, or `grants`; its name."""
        user = f"u_{uuid.uuid4().hex[:10]}"
        needed = "SELECT, REPLICATION SLAVE, REPLICATION CLIENT"
        escaped = password.replace("\\", "\\\\").replace("'", "\\'")
        self._accounts.append(user)
        self.server.run(
            f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{escaped}'",
            f"GRANT {grants or needed} ON *.* TO '{user}'@'127.0.0.1'",
        )
        return user

    def log_in_as(self, user: str, password: str = "Pw-of-a-test-1") -> None:  # noqa: S107
        self.settings["MEEPO2_SOURCE_DSN"] = self.server.dsn_of(user, password)

    # -- the command

    def once(self, *flags: str, **settings: str) -> Outcome:
        """`capture --once`, whatever its exit code."""
        return run("capture", "--once", *flags, settings={**self.settings, **settings})

    def caught_up(self, *flags: str, **settings: str) -> Outcome:
        """`capture --once`, which must succeed."""
        outcome = self.once(*flags, **settings)
        assert outcome.code == 0, outcome.err
        return outcome

    def command(self, *arguments: str) -> Outcome:
        return run(*arguments, settings=self.settings)

    def launch(self, *flags: str, program: Sequence[str] = (), **settings: str) -> Running:
        """A capture that was only just started, and is gone at the end of the test."""
        merged: Mapping[str, str] = {**self.settings, **settings}
        one = Running(["capture", *flags], merged, program) if program else Running(["capture", *flags], merged)
        self._running.append(one)
        return one

    def capture(self, *flags: str, **settings: str) -> Running:
        """A capture that has started to read."""
        one = self.launch(*flags, **settings)
        one.wait_for(STARTED)
        return one

    def close(self) -> None:
        for one in self._running:
            one.kill()
        users = [f"DROP USER '{user}'@'127.0.0.1'" for user in self._accounts]
        self.server.run(*users, f"DROP DATABASE IF EXISTS {self.database}")

    # -- what came of it

    def topic(self, table: str) -> str:
        return f"{self.prefix}.{self.database}.{table}"

    def reads(self) -> list[history.Read]:
        """All committed records of this test."""
        return history.committed(self.kafka, history.data_topics(self.kafka, self.prefix))

    def changes(self, table: str | None = None) -> list[history.Change]:
        """Action and key, in the order of seq."""
        return history.changes(self.reads(), table)

    def wait_for(self, count: int, seconds: float = SECONDS) -> list[history.Change]:
        """The changes as soon as there are so many."""

        def enough() -> list[history.Change]:
            found = self.changes()
            return found if len(found) >= count else []

        return until(enough, f"{count} records under {self.prefix}", seconds)

    def checkpoint(self, source: str = "db") -> Checkpoint | None:
        kafka = {"bootstrap.servers": self.kafka, "log_level": "2"}
        return read_checkpoint(kafka, f"{self.prefix}.checkpoints.{source}", source)


MakeScene = Callable[[Server], Scene]


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A MySQL of this run, set as it is by default; what other runs do elsewhere cannot stop its captures."""
    with native.mysql(tmp_path_factory.mktemp("mysql")) as server:
        yield Server(server.dsn)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A MariaDB of this run, set as it is by default."""
    with native.mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield Server(server.dsn)


@pytest.fixture(scope="session")
def own_mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A MySQL of this run, with full row metadata."""
    with native.mysql(tmp_path_factory.mktemp("own-mysql"), FULL_METADATA) as server:
        yield Server(server.dsn)


@pytest.fixture(scope="session")
def own_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A MariaDB of this run, with full row metadata."""
    with native.mariadb(tmp_path_factory.mktemp("own-mariadb"), FULL_METADATA) as server:
        yield Server(server.dsn)


@pytest.fixture
def make_scene(kafka: str) -> Iterator[MakeScene]:
    """Makes scenes on a server, and clears them away."""
    with ExitStack() as made:

        def make(server: Server) -> Scene:
            return made.enter_context(closing(Scene(server, kafka, f"t{uuid.uuid4().hex[:12]}")))

        yield make


@pytest.fixture
def scene(make_scene: MakeScene, request: pytest.FixtureRequest) -> Scene:
    """A scene on the server whose fixture the parameter names; on the MySQL without one."""
    return make_scene(request.getfixturevalue(getattr(request, "param", "mysql")))


both = pytest.mark.parametrize("scene", ["mysql", "mariadb"], indirect=True)
both_own = pytest.mark.parametrize("scene", ["own_mysql", "own_mariadb"], indirect=True)
