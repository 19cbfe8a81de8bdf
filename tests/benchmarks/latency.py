"""
From the return of a COMMIT to the record in a consumer's hands, at a steady rate of single-row transactions.

The transactions are made by a process of their own (`python -m tests.benchmarks.latency`), so that neither the clock
nor the interpreter of the consumer is in their way.  Both take the time from the machine's monotonic clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from tests.benchmarks import data_sets
from tests.benchmarks.drain import Failed, streaming
from tests.benchmarks.peer import PARTITIONS, Peer
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import KeyText

ROWS_ONLY_TO_BEGIN = 1
_LATE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, of all transactions behind the warm-up; `rate` is what was reached."""

    rate: float
    transactions: int
    p50_ms: float
    p99_ms: float
    most_ms: float


def latency(
    peer: Peer, home: Path, servers: Servers, scratch: Path, *, rate: int, seconds: float, warm_up_seconds: float
) -> Latency:
    """Raises Failed when a record does not come within half a minute."""
    with servers.session() as session:
        written = data_sets.write(session, data_sets.DATA_SETS["oltp"], ROWS_ONLY_TO_BEGIN, "bench_latency")
    count = int(rate * (seconds + warm_up_seconds))
    with streaming(peer, home, servers, written, scratch) as stream, closing(_consumer(servers.kafka)) as consumer:
        consumer.assign([TopicPartition(stream.topic, number, 0) for number in range(PARTITIONS)])
        arrived = _take(consumer, {"1"}, time.monotonic() + _LATE_SECONDS)
        writer = _Writer(servers, written.schema, rate, count)
        arrived |= _take(consumer, writer.keys, time.monotonic() + count / rate + _LATE_SECONDS)
        committed = writer.committed()
    return _summary(committed, arrived, int(rate * warm_up_seconds), rate)


def _consumer(address: str) -> Consumer:
    return Consumer({
        "bootstrap.servers": address,
        "group.id": "bench-latency",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 10,
    })  # fmt: skip


def _take(consumer: Consumer, keys: set[str], deadline: float) -> dict[str, int]:
    """When each key's record came, in nanoseconds."""
    key_text, arrived, left = KeyText(), dict[str, int](), set(keys)
    while left:
        message = consumer.poll(0.5)
        now = time.monotonic_ns()
        if message is not None and message.error() is None and message.key() is not None:
            text = key_text.of(message.key())
            arrived.setdefault(text, now)
            left.discard(text)
        elif time.monotonic() > deadline:
            raise Failed(f"{len(left)} of {len(keys)} records did not come within {_LATE_SECONDS} s")
    return arrived


def _summary(committed: Mapping[str, int], arrived: Mapping[str, int], warm_up: int, rate: int) -> Latency:
    measured = list(committed.items())[warm_up:]
    waits = sorted(max(0.0, (arrived[key] - returned) / 1e6) for key, returned in measured)
    lasted = (measured[-1][1] - measured[0][1]) / 1e9
    return Latency(
        rate=(len(measured) - 1) / lasted if lasted else rate,
        transactions=len(measured),
        p50_ms=waits[len(waits) // 2],
        p99_ms=waits[len(waits) * 99 // 100],
        most_ms=waits[-1],
    )


class _Writer:
    """The other process."""

    def __init__(self, servers: Servers, schema: str, rate: int, count: int) -> None:
        first = ROWS_ONLY_TO_BEGIN + 1
        self.keys = {str(n) for n in range(first, first + count)}
        arguments = [servers.dsn, schema, str(rate), str(first), str(count)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.latency", *arguments], stdout=subprocess.PIPE, text=True
        )

    def committed(self) -> dict[str, int]:
        """When the COMMIT of each key returned, in nanoseconds."""
        out, _ = self._process.communicate()
        return {key: int(when) for key, when in json.loads(out).items()}


def write_steadily(dsn: str, schema: str, rate: int, first: int, count: int) -> dict[str, int]:
    """One transaction after the other, each at its time or as soon after it as can be."""
    returned: dict[str, int] = {}
    row = data_sets.ORDER
    with Servers(dsn, "", own=False, account=("", "")).session() as session:
        session.run(f"USE {schema}")
        began = time.monotonic()
        for n in range(first, first + count):
            wait = began + (n - first) / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            session.run(f"INSERT INTO orders VALUES ({row.format(n=n)})")
            returned[str(n)] = time.monotonic_ns()
    return returned


if __name__ == "__main__":
    json.dump(write_steadily(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])), sys.stdout)
