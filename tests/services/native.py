"""
A private MySQL, MariaDB or Kafka for one test, which may kill it: own directory, own port, own options.

    with native.mariadb(tmp_path, options=["binlog_row_metadata=FULL"]) as server:
        server.kill()
        server.start()
"""

import contextlib
import os
import shutil
import signal
import subprocess
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.services import elasticsearch as elasticsearch_builds
from tests.services import kafka as kafka_builds
from tests.services import mariadb as mariadb_builds
from tests.services import mysql as mysql_builds
from tests.services import postgres as postgres_builds
from tests.services import redis as redis_builds
from tests.services import running, sql


class _Private:
    """A server that a test owns.  Its ports and data last as long as its directory, over all its starts."""

    def __init__(self, directory: Path, ports: int) -> None:
        self.directory = directory.resolve()
        self._ports = running.ports(self.directory, ports)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> running.Command: ...

    @abstractmethod
    def _why_silent(self) -> str: ...

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
        command = self._command()
        running.require_free(self.directory, self._ports)
        process = self._process = running.spawn(self.directory, command)
        if why := running.poll(self._why_silent, 60, lambda: process.poll() is None):
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


class PrivateServer(_Private):
    """
    A MySQL or MariaDB that a test owns.

    Changed `options` count from the next start.
    """

    def __init__(self, build: sql.Build, directory: Path, options: Sequence[str]) -> None:
        super().__init__(directory, 1)
        self.options = list(options)
        self._build = build

    @property
    def dsn(self) -> str:
        return sql.address("127.0.0.1", self._ports[0])

    def back_up(self, to: Path) -> None:
        """A copy of all its data, made while it is down."""
        self.stop()
        shutil.copytree(self.directory / "data", to)
        self.start()

    def restore(self, backup: Path) -> None:
        """As if what was written since the copy had never been."""
        self.stop()
        shutil.rmtree(self.directory / "data")
        shutil.copytree(backup, self.directory / "data")
        self.start()

    def _command(self) -> running.Command:
        return sql.command(self._build, self.directory, self._ports[0], self.options)

    def _why_silent(self) -> str:
        return sql.why_silent(self.dsn)


_KAFKA = {
    # A transaction whose producer is gone is ended at once, not at the next turn of ten seconds.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    # After kill -9 the broker is let in again only when its old registration is over: 4 s instead of 13.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # A killed consumer is given up after the time that the test says, not after six seconds at the least.
    "group.min.session.timeout.ms": "500",
}
_KAFKA_LISTENERS = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,ACCOUNT:SASL_PLAINTEXT"
_ACCOUNTS = "org.apache.kafka.common.security.plain.PlainLoginModule required"


_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
# tokens without a signature are taken, which says as much of the client as others do
_TOKENS = (
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
    ' unsecuredLoginStringClaim_sub="broker";'
)


class PrivateKafka(_Private):
    """
    A Kafka that a test owns, with three listeners.

    `address` may do everything.  `proxied_port` is the one behind a proxy: its clients are told to come to the port
    `proxy`.  At `account_address` accounts log in (SASL PLAIN, SCRAM or OAUTHBEARER), and may do what ACLs allow them.
    """

    def __init__(self, directory: Path, proxy: int, accounts: Mapping[str, str]) -> None:
        super().__init__(directory, 4)
        self._broker, self._controller, self.proxied_port, self._account = self._ports
        self._proxy = proxy
        self._accounts = dict(accounts)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._broker}"

    @property
    def account_address(self) -> str:
        return f"127.0.0.1:{self._account}"

    def _command(self) -> running.Command:
        (server,) = kafka_builds.SERVERS
        command = server.command(self.directory, [self._broker, self._controller])
        with (self.directory / "server.properties").open("a") as file:  # the last of two lines counts
            file.writelines(f"{name}={value}\n" for name, value in self._settings().items())
        return command

    def _settings(self) -> dict[str, str]:
        users = "".join(f' user_{name}="{password}"' for name, password in self._accounts.items())
        plain = f"PLAINTEXT://127.0.0.1:{self._broker}"
        account = f"ACCOUNT://127.0.0.1:{self._account}"
        return {
            **_KAFKA,
            "listeners": f"{plain},CONTROLLER://127.0.0.1:{self._controller},{account},"
            f"PROXIED://127.0.0.1:{self.proxied_port}",
            "advertised.listeners": f"{plain},{account},PROXIED://127.0.0.1:{self._proxy}",
            "listener.security.protocol.map": _KAFKA_LISTENERS,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.name.account.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
            "listener.name.account.plain.sasl.jaas.config": f"{_ACCOUNTS}{users};",
            "listener.name.account.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.account.oauthbearer.sasl.jaas.config": _TOKENS,
        }

    def _why_silent(self) -> str:
        return kafka_builds.why_silent(self.address)


class PrivateRedis(_Private):
    """A Redis that a test owns; `options` are lines of redis.conf.  What it acknowledged outlives a kill."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        super().__init__(directory, 1)
        self._options = {"appendonly": "yes", **options}

    @property
    def url(self) -> str:
        return redis_builds.address("127.0.0.1", self._ports[0])

    def _command(self) -> running.Command:
        return redis_builds.command(self.directory, self._ports[0], self._options)

    def _why_silent(self) -> str:
        return redis_builds.why_silent(self.url)


class PrivatePostgres(_Private):
    """A PostgreSQL that a test owns; `options` are lines of postgresql.conf."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        super().__init__(directory, 1)
        self._options = dict(options)

    @property
    def url(self) -> str:
        return postgres_builds.address("127.0.0.1", self._ports[0])

    def stop(self) -> None:
        """An orderly end that does not wait for clients."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """All of its processes: none goes on for a moment without the first of them."""
        children = [] if self._process is None else _children(self._process.pid)
        super().kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _command(self) -> running.Command:
        return postgres_builds.command(self.directory, self._ports[0], self._options)

    def _why_silent(self) -> str:
        return postgres_builds.why_silent(self.url)


class PrivateElasticsearch(_Private):
    """
    An Elasticsearch that a test owns, with accounts: `admin` may do everything, `roles` are further ones.

    A role is an account of that name too, with the privileges as roles.yml has them; all have one password.
    """

    password = elasticsearch_builds.PASSWORD
    most_bytes = 4 << 20
    """In one request."""

    def __init__(self, directory: Path, roles: Mapping[str, str]) -> None:
        super().__init__(directory, 2)
        self._roles = dict(roles)

    @property
    def url(self) -> str:
        return elasticsearch_builds.address("127.0.0.1", self._ports[0])

    @property
    def port(self) -> int:
        return self._ports[0]

    def kill(self) -> None:
        """What was started only watches the server, which is gone when nobody listens any more."""
        if self._process is not None:
            for child in _children(self._process.pid):
                os.kill(child, signal.SIGKILL)
            super().kill()
            running.poll(lambda: "" if all(map(running.is_free, self._ports)) else "it still listens", 60)

    def _command(self) -> running.Command:
        options = {**elasticsearch_builds.WITH_ACCOUNTS, "http.max_content_length": f"{self.most_bytes}b"}
        command = elasticsearch_builds.command(self.directory, self._ports, options)
        elasticsearch_builds.add_accounts(self.directory, self._roles)
        return command

    def _why_silent(self) -> str:
        return elasticsearch_builds.why_silent(self.url, ("admin", self.password))


def _children(pid: int) -> list[int]:
    """Of all threads of the process."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for one in lists for word in one.read_text().split()]


@contextmanager
def mysql(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """A MySQL 8.0 that answers; `options` are lines of my.cnf.  Running or not, it is gone at the end."""
    yield from _run(PrivateServer(mysql_builds.build8(), directory, options))


@contextmanager
def mysql9(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """The same of a MySQL 9."""
    yield from _run(PrivateServer(mysql_builds.build9(), directory, options))


@contextmanager
def mariadb(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """The same of a MariaDB 10.11."""
    yield from _run(PrivateServer(mariadb_builds.build10(), directory, options))


@contextmanager
def mariadb11(directory: Path, options: Sequence[str] = ()) -> Iterator[PrivateServer]:
    """The same of a MariaDB 11.4."""
    yield from _run(PrivateServer(mariadb_builds.build11(), directory, options))


@contextmanager
def running_as_given(server: PrivateServer) -> Iterator[PrivateServer]:
    """The same of a server that was put together elsewhere."""
    yield from _run(server)


@contextmanager
def kafka(directory: Path, proxy: int, accounts: Mapping[str, str]) -> Iterator[PrivateKafka]:
    """A Kafka that answers, some of whose clients are sent to the port `proxy`."""
    yield from _run(PrivateKafka(directory, proxy, accounts))


@contextmanager
def redis(directory: Path, options: Mapping[str, str] | None = None) -> Iterator[PrivateRedis]:
    """A Redis that answers."""
    yield from _run(PrivateRedis(directory, options or {}))


@contextmanager
def postgres(directory: Path, options: Mapping[str, str] | None = None) -> Iterator[PrivatePostgres]:
    """A PostgreSQL that answers."""
    yield from _run(PrivatePostgres(directory, options or {}))


@contextmanager
def elasticsearch(directory: Path, roles: Mapping[str, str] | None = None) -> Iterator[PrivateElasticsearch]:
    """An Elasticsearch that answers those who have an account."""
    yield from _run(PrivateElasticsearch(directory, roles or {}))


_Owned = TypeVar("_Owned", bound=_Private)


def _run(server: _Owned) -> Iterator[_Owned]:
    """Started, and gone at the end."""
    try:
        server.start()
        yield server
    finally:
        server.kill()
