"""
What every example needs: a schema of its own on a real server, a capture of it, and connectors.

Servers are those of `make services`; everything that an example makes there is removed before and after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pymysql
from confluent_kafka.admin import AdminClient
from sqlalchemy.engine import make_url

from meepo2_cdc.kafka.clients import quiet
from tests.services import addresses

COMMAND = str(Path(sys.executable).with_name("meepo2-cdc"))
DEADLINE_SECONDS = 90
TABLE = "CREATE TABLE test (id INT AUTO_INCREMENT PRIMARY KEY, data VARCHAR(256)) CHARACTER SET utf8mb4"
INSERTS = ("INSERT INTO test (data) VALUES ('a')", "INSERT INTO test (data) VALUES ('b'), ('c'), ('d')")
UPDATES = (
    "UPDATE test SET data = 'aa' WHERE id = 1",
    "UPDATE test SET data = 'bb' WHERE id = 2",
    "UPDATE test SET data = 'cc' WHERE id != 1",
)
DELETES = ("DELETE FROM test WHERE id != 1", "DELETE FROM test WHERE id = 1")

T = TypeVar("T")


class Stage:
    """
    One example's surroundings.

    Its `settings.toml` takes the addresses of the servers from variables, SOURCE, KAFKA and those of `servers`.
    """

    def __init__(self, name: str, servers: tuple[str, ...] = ()) -> None:
        self.schema, self.prefix = f"example_{name}", f"example-{name}"
        self.config = Path(__file__).parent / name / "settings.toml"
        found = {one: _address(one) for one in ("mariadb", "kafka", *servers)}
        self.source, self.kafka = found.pop("mariadb"), found.pop("kafka")
        self.variables = {
            "SOURCE": self.source, "KAFKA": self.kafka, **{one.upper(): url for one, url in found.items()},
        }  # fmt: skip
        kept = {one: value for one, value in os.environ.items() if not one.startswith("MEEPO2_")}
        self.environment = {**kept, **self.variables}

    @contextmanager
    def captured(self) -> Iterator[None]:
        """With the schema, the table `test` in it, and a capture of both."""
        self.clear()
        self._on_server(f"CREATE DATABASE {self.schema}")
        self.run(TABLE)
        try:
            with self.command("capture"):
                until(self._has_begun, "the capture has begun")
                yield
        finally:
            self.clear()

    @contextmanager
    def command(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of ours in the background, told to stop at the end."""
        print(f"$ meepo2-cdc {' '.join(arguments)} --config {self.config.name}", flush=True)
        process = subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, *arguments, "--config", str(self.config), "--log-level", "WARNING"], env=self.environment
        )
        try:
            yield process
        finally:
            process.terminate()
            if process.wait(DEADLINE_SECONDS):
                sys.exit(f"{' '.join(arguments)} ended with {process.returncode}; its message is above")

    def run(self, *statements: str, shown: bool = False) -> None:
        """On the source, in the example's schema."""
        for statement in statements:
            if shown:
                print(f"  {statement};", flush=True)
        self._on_server(f"USE {self.schema}", *statements)

    def rows(self) -> list[tuple[Any, ...]]:
        """Of the table `test`, as the source has them."""
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT id, data FROM {self.schema}.test ORDER BY id")  # noqa: S608 - our own name
            return list(cursor.fetchall())

    def clear(self) -> None:
        """What this or an earlier run left behind."""
        self._on_server(f"DROP DATABASE IF EXISTS {self.schema}")
        admin = AdminClient(quiet({"bootstrap.servers": self.kafka}))
        topics = [name for name in admin.list_topics(timeout=30).topics if name.startswith(f"{self.prefix}.")]
        for deleted in admin.delete_topics(topics).values() if topics else ():
            deleted.result(30)
        with suppress(Exception):  # there was no group
            admin.delete_consumer_groups([f"{self.prefix}.example"])[f"{self.prefix}.example"].result(30)

    def _has_begun(self) -> bool:
        """The first checkpoint fixes where it begins; statements before it would not be seen."""
        show = [COMMAND, "checkpoint", "show", "--config", str(self.config)]
        return subprocess.run(show, env=self.environment, capture_output=True).returncode == 0  # noqa: S603

    def _on_server(self, *statements: str) -> None:
        with self._connection() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _connection(self) -> pymysql.Connection[Any]:
        url = make_url(self.source)
        return pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username or "", password=str(url.password or ""),
            autocommit=True,
        )  # fmt: skip


def until(found: Callable[[], T], what: str) -> T:
    """What `found` returns, as soon as it is true."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (result := found()):
        if time.monotonic() > deadline:
            sys.exit(f"not within {DEADLINE_SECONDS} s: {what}")
        time.sleep(0.05)
    return result


def _address(name: str) -> str:
    found = addresses.address(name)
    if found is None:
        sys.exit(f"no {name} runs here; start it:  make services S={name}")
    return found
