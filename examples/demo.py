"""
`make demo`: a real server and a real Kafka, a capture, seven statements, and their thirteen records.

Everything that it starts it also stops; servers that ran before are left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
from confluent_kafka.admin import AdminClient
from sqlalchemy.engine import make_url

from tests.services import addresses, places
from tests.services.__main__ import down, up

COMMAND = str(Path(sys.executable).with_name("meepo2-cdc"))
PREFIX, SCHEMA = "demo", "meepo2_demo"
STATEMENTS = (
    "INSERT INTO test (data) VALUES ('a')",
    "INSERT INTO test (data) VALUES ('b'), ('c'), ('d')",
    "UPDATE test SET data = 'aa' WHERE id = 1",
    "UPDATE test SET data = 'bb' WHERE id = 2",
    "UPDATE test SET data = 'cc' WHERE id != 1",
    "DELETE FROM test WHERE id != 1",
    "DELETE FROM test WHERE id = 1",
)
RECORDS = 13
DEADLINE_SECONDS = 60


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ran_before = {name for name in ("mariadb", "kafka") if addresses.address(name) is not None}
    try:
        if up(["mariadb", "kafka"]):
            return 1
        with _environment() as environment, _capture(environment):
            _execute(environment["MEEPO2_SOURCE_DSN"])
            _replay(environment)
            _say_what_next(environment)
    except KeyboardInterrupt:
        print()
    finally:
        started = [name for name in ("mariadb", "kafka") if name not in ran_before]
        if started:
            down(started)
    return 0


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """The settings of the capture, also as a file to source in another terminal."""
    ours = {
        "MEEPO2_SOURCE_DSN": addresses.address("mariadb") or "",
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": addresses.address("kafka") or "",
        "MEEPO2_PREFIX": PREFIX,
        "MEEPO2_TABLES": f"{SCHEMA}.*",
    }
    _drop(ours)
    file = places.STATE / "demo.env"
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in ours.items()))
    try:
        yield {**os.environ, **ours}
    finally:
        file.unlink()
        _drop(ours)


def _drop(ours: dict[str, str]) -> None:
    """What this or an earlier demo left behind."""
    _run(ours["MEEPO2_SOURCE_DSN"], f"DROP DATABASE IF EXISTS {SCHEMA}")
    admin = AdminClient({"bootstrap.servers": ours["MEEPO2_KAFKA_BOOTSTRAP_SERVERS"]})
    topics = [name for name in admin.list_topics(timeout=30).topics if name.startswith(f"{PREFIX}.")]
    for deleted in admin.delete_topics(topics).values() if topics else ():
        deleted.result(30)


def _run(dsn: str, *statements: str) -> None:
    url = make_url(dsn)
    with pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username or "", password=str(url.password or ""),
        autocommit=True,
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _capture(environment: dict[str, str]) -> Iterator[None]:
    print("\n$ meepo2-cdc capture", flush=True)
    capture = subprocess.Popen([COMMAND, "capture", "--start", "latest"], env=environment)  # noqa: S603
    try:
        _wait_for_checkpoint(environment, capture)
        yield
    finally:
        capture.terminate()
        capture.wait(DEADLINE_SECONDS)


def _wait_for_checkpoint(environment: dict[str, str], capture: subprocess.Popen[bytes]) -> None:
    """The first checkpoint fixes where the capture begins; statements before it would not be seen."""
    show = [COMMAND, "checkpoint", "show"]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while subprocess.run(show, env=environment, capture_output=True).returncode:  # noqa: S603
        if capture.poll() is not None or time.monotonic() > deadline:
            sys.exit("demo: the capture did not start; its message is above")


def _execute(dsn: str) -> None:
    print("\nThe statements:", flush=True)
    definition = "CREATE TABLE test (id INT AUTO_INCREMENT PRIMARY KEY, data VARCHAR(256)) CHARSET utf8mb4"
    _run(dsn, f"CREATE DATABASE {SCHEMA}", f"USE {SCHEMA}", definition)
    for statement in STATEMENTS:
        print(f"  {statement};")
    _run(dsn, f"USE {SCHEMA}", *STATEMENTS)


def _replay(environment: dict[str, str]) -> None:
    print("\n$ meepo2-cdc replay --from-offset 0", flush=True)
    replay = [COMMAND, "replay", "--from-offset", "0"]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        shown = subprocess.run(replay, env=environment, capture_output=True, text=True)  # noqa: S603
        if len(shown.stdout.splitlines()) == RECORDS + 1:
            print(shown.stdout, flush=True)
            return
        if time.monotonic() > deadline:
            sys.exit(f"demo: {RECORDS} records were expected, this came:\n{shown.stdout}{shown.stderr}")


def _say_what_next(environment: dict[str, str]) -> None:
    port = make_url(environment["MEEPO2_SOURCE_DSN"]).port
    print(f"""The capture is still running.  In another terminal:

  . .services/demo.env && export PATH="$PWD/.venv/bin:$PATH"
  mariadb --host 127.0.0.1 --port {port} --user root {SCHEMA}     # change rows
  meepo2-cdc replay --from-offset 0 --json                    # see their records
  meepo2-cdc checkpoint show; meepo2-cdc status; meepo2-cdc topics; meepo2-cdc check
""", flush=True)  # fmt: skip
    if sys.stdin.isatty():
        print("Ctrl-C ends the demo and removes what it made.", flush=True)
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
