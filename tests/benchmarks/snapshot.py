"""
How fast existing rows become records: `python -m tests.benchmarks.snapshot [mysql|mariadb] [--rows N] [--key KEY]`.

A table of so many rows on the server of the services tool, `capture --once --start snapshot`, and what its checkpoint
says of the time between the first and the last chunk; the peak of the resident set and the CPU of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import uuid
from contextlib import closing

from tests.scenes import Scene, Server
from tests.services import addresses

KEYS = {
    "int": ("id BIGINT PRIMARY KEY, v VARCHAR(40)", "x, 'some text of a row'"),
    "text": ("id VARCHAR(36) PRIMARY KEY, v INT", "MD5(x), 1"),
    "two": ("t INT, id BIGINT, v INT, PRIMARY KEY (t, id)", "x % 7, x, 1"),
}
STEP = 1_000_000
PATIENCE_SECONDS = 600


def fill(scene: Scene, columns: str, values: str, rows: int) -> None:
    """Past the log: what is measured is the reading of rows, and nothing is to be followed beside it."""
    digits = ", ".join(f"d AS d{n}" for n in range(6))
    number = " + ".join(f"d{n}.n * {10**n}" for n in range(6))
    with scene.server.connect(scene.database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(f"CREATE TABLE a ({columns})")
        cursor.execute("CREATE TABLE d (n INT PRIMARY KEY)")
        cursor.execute("INSERT INTO d VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")
        for first in range(0, rows, STEP):
            some = f"SELECT {first} + {number} AS x FROM {digits}"
            cursor.execute(f"INSERT INTO a SELECT {values} FROM ({some}) numbers WHERE x < {rows}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flavor", nargs="?", choices=["mysql", "mariadb"], default="mysql")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--key", choices=KEYS, default="int")
    wanted = parser.parse_args()
    dsn, kafka = addresses.address(wanted.flavor), addresses.address("kafka")
    assert dsn is not None, f"no {wanted.flavor}; run: make services"
    assert kafka is not None, "no kafka; run: make services"
    with closing(Scene(Server(dsn), kafka, f"bench{uuid.uuid4().hex[:8]}")) as scene:
        scene.settings["MEEPO2_TABLES"] = f"{scene.database}.a"
        fill(scene, *KEYS[wanted.key], wanted.rows)
        capture = scene.launch("--once", "--start", "snapshot")
        assert capture.end(PATIENCE_SECONDS).code == 0, capture.said
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        checkpoint = scene.checkpoint()
        assert checkpoint is not None
        (table,) = checkpoint.snapshots[0].ended
        seconds = (table.ended_at - table.started_at).total_seconds()
    print(f"{wanted.flavor}, key {wanted.key}: {table.rows:,} rows, {table.rows / seconds:,.0f} keys/s,"
          f" {used.ru_utime + used.ru_stime:.1f} CPU s in all, {used.ru_maxrss / 1024:.0f} MB at most")  # fmt: skip


if __name__ == "__main__":
    main()
