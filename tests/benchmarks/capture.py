"""
`make bench`: `meepo2-cdc capture --once` beside a plain python-mysql-replication loop, over one binlog, in one run.

    python -m tests.benchmarks.capture [--rows 300000] [--runs 3]

Rows a second are from the first byte to the last record acknowledged; CPU seconds are those of the whole process, its
start included.  The two alternate, and medians are printed.  Only the ratio means anything on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pymysql
from confluent_kafka.admin import AdminClient, NewTopic
from sqlalchemy.engine import URL, make_url

from tests.services import addresses

COMMAND = str(Path(sys.executable).with_name("meepo2-cdc"))
ROWS_A_STATEMENT = 1000
TABLE = """
CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, sku VARCHAR(40) NOT NULL,
  quantity SMALLINT NOT NULL, price DECIMAL(10,2) NOT NULL, discount DOUBLE NULL,
  status ENUM('new', 'paid', 'shipped') NOT NULL, note VARCHAR(200) NULL, attributes VARCHAR(50) NULL,
  created_at DATETIME(3) NOT NULL, updated_at TIMESTAMP NOT NULL
) CHARACTER SET utf8mb4
"""
ROW = "({n}, 'SKU-{n:06}', 3, {n}.25, {discount}, 'paid', '{note}', '{{}}', '2026-01-01 00:00:00.123', '2026-01-01')"
COLUMNS = "customer, sku, quantity, price, discount, status, note, attributes, created_at, updated_at"


class Bench:
    """One binlog file with the rows, read by either of the two as often as wanted."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.dsn = addresses.address("mysql") or sys.exit("no mysql: run `make services S='mysql kafka'`")
        self.kafka = addresses.address("kafka") or sys.exit("no kafka: run `make services S='mysql kafka'`")
        self.url: URL = make_url(self.dsn)
        self.schema = f"bench_{uuid.uuid4().hex[:8]}"
        self.file = ""

    def _load(self) -> str:
        with self._cursor() as cursor:
            for statement in (f"CREATE DATABASE {self.schema}", f"USE {self.schema}", TABLE, "FLUSH BINARY LOGS"):
                cursor.execute(statement)
            cursor.execute("SHOW MASTER STATUS")
            file = str(cursor.fetchone()[0])  # type: ignore[index]
            for first in range(0, self.rows, ROWS_A_STATEMENT):
                numbers = range(first, min(first + ROWS_A_STATEMENT, self.rows))
                values = ",".join(ROW.format(n=n, discount="0.5" if n % 3 else "NULL", note="x" * 100) for n in numbers)
                cursor.execute(f"INSERT INTO orders ({COLUMNS}) VALUES {values}")
            return file

    @contextmanager
    def full_metadata(self) -> Iterator[None]:
        """The plain loop finds no key without it."""
        with self._cursor() as cursor:
            cursor.execute("SET GLOBAL binlog_row_metadata = FULL")
        self.file = self._load()
        yield
        with self._cursor() as cursor:
            cursor.execute(f"DROP DATABASE {self.schema}")
            cursor.execute("SET GLOBAL binlog_row_metadata = DEFAULT")

    @contextmanager
    def _cursor(self) -> Iterator[pymysql.cursors.Cursor]:
        url = self.url
        with (
            pymysql.connect(
                host=url.host, port=url.port or 3306, user=url.username or "", password=str(url.password or ""),
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):  # fmt: skip
            yield cursor

    def capture(self) -> tuple[float, float]:
        """Seconds of reading and writing, CPU seconds of the process."""
        environment = os.environ | {
            "MEEPO2_SOURCE_DSN": self.dsn,
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "MEEPO2_PREFIX": f"bench-{uuid.uuid4().hex[:8]}",
        }
        arguments = [COMMAND, "capture", "--once", "--tables", f"{self.schema}.*", "--start", f"{self.file}:4"]
        process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
        log, cpu = _finished(process, process.stderr)
        seq = [int(number) for number in re.findall(r"seq=(\d+)", log)]
        if seq[-1] - seq[0] != self.rows:
            sys.exit(f"bench: {seq[-1] - seq[0]} records instead of {self.rows}\n{log}")
        began, ended = (datetime.fromisoformat(time) for time in re.findall(r"^(\S+Z) .*Capture (?:st|en)", log, re.M))
        return (ended - began).total_seconds(), cpu

    def plain_loop(self) -> tuple[float, float]:
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": self.kafka})
        admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(30)
        where = [str(self.url.host), str(self.url.port), str(self.url.username), self.file, self.schema]
        arguments = [sys.executable, "-m", "tests.benchmarks.plain_loop", *where, self.kafka, topic]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        text, cpu = _finished(process, process.stdout)
        result = json.loads(text)
        if result["rows"] != self.rows:
            sys.exit(f"bench: the plain loop wrote {result['rows']} rows instead of {self.rows}")
        return float(result["seconds"]), cpu


def _finished(process: subprocess.Popen[str], output: object) -> tuple[str, float]:
    text = output.read()  # type: ignore[attr-defined]
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench: exit code {process.returncode}\n{text}")
    return text, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    wanted = parser.parse_args()
    bench = Bench(wanted.rows)
    with bench.full_metadata():
        runs = [(bench.capture(), bench.plain_loop()) for _ in range(wanted.runs)]
    print(f"{wanted.rows} rows, {ROWS_A_STATEMENT} a statement; medians of {wanted.runs} alternating runs")
    print(f"{'':34}{'rows/s':>10}{'CPU seconds':>13}{'CPU s per million rows':>24}")
    medians = []
    for place, name in enumerate(("meepo2-cdc capture (transactions)", "pymysqlreplication + produce()")):
        seconds, cpu = (statistics.median(run[place][part] for run in runs) for part in (0, 1))
        medians.append((wanted.rows / seconds, cpu))
        print(f"{name:34}{wanted.rows / seconds:10,.0f}{cpu:13.2f}{cpu / wanted.rows * 1e6:24.2f}")
    (ours, our_cpu), (plain, plain_cpu) = medians
    print(f"{'ratio':34}{ours / plain:10.1f}{plain_cpu / our_cpu:13.1f}")


if __name__ == "__main__":
    main()
