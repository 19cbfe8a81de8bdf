"""
What publishing costs a transaction: `python -m tests.benchmarks.session [--rounds N] [--fsync off] [--commit-us 1000]`.

Transactions of ten objects on a PostgreSQL of its own, with the outbox, delivered directly, and without a publisher, in
turns of one transaction each, so that all of them meet the same moments of the machine.  `--commit-us` has the server
wait at each commit, for a disk that is slower than this machine's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, String, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import meepo2_cdc
from meepo2_cdc.capture.session.markers import marker_table
from meepo2_cdc.capture.session.outbox import outbox_table
from tests.services import addresses, native

OBJECTS = 10
WARM_UP = 50
CEILING = 1.15


class Model(DeclarativeBase):
    pass


class Order(Model):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(50))
    note: Mapped[str] = mapped_column(String(200))


def transaction(maker: sessionmaker[Session]) -> float:
    """Ten new objects; the time of `commit`, in which they are flushed."""
    with maker() as session:
        session.add_all([Order(customer="somebody", note="n" * 100) for _ in range(OBJECTS)])
        began = time.perf_counter()
        session.commit()
        return time.perf_counter() - began


def measure(engine: Engine, direct: bool, rounds: int) -> dict[str, list[float]]:
    makers: dict[str, sessionmaker[Session]] = {"no publisher": sessionmaker(engine), "outbox": sessionmaker(engine)}
    publishers = [meepo2_cdc.sqlalchemy_pub(makers["outbox"])]
    if direct:
        makers["direct"] = sessionmaker(engine)
        publishers.append(meepo2_cdc.sqlalchemy_pub(makers["direct"], **_direct()))
    times: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(-WARM_UP, rounds):
        for name in makers:
            took = transaction(makers[name])
            if number >= 0:
                times[name].append(took)
    for one in publishers:
        one.remove()
    return times


def _direct() -> dict[str, Any]:
    name = f"b{uuid.uuid4().hex[:10]}"
    redis_url, kafka = addresses.address("redis"), addresses.address("kafka")
    return {
        "delivery": "direct", "redis_url": redis_url, "bootstrap_servers": kafka, "prefix": name, "namespace": name,
    }  # fmt: skip


@contextmanager
def database(fsync: str, commit_us: int) -> Iterator[Engine]:
    options = {"fsync": fsync, "commit_delay": str(commit_us), "commit_siblings": "0"}
    with tempfile.TemporaryDirectory() as directory, native.postgres(Path(directory), options) as server:
        Path(directory).chmod(0o755)
        engine = create_engine(make_url(server.url).set(drivername="postgresql+psycopg"))
        Model.metadata.create_all(engine)
        outbox_table("meepo2_outbox").create(engine)
        marker_table("meepo2_transactions").create(engine)
        yield engine
        engine.dispose()


def report(times: dict[str, list[float]], say: Callable[[str], None] = print) -> float:
    """Prints medians and ratios; the ratio of the outbox."""
    without = statistics.median(times["no publisher"])
    for name, found in times.items():
        median, high = statistics.median(found), statistics.quantiles(found, n=20)[-1]
        say(f"{name:14} median {median * 1000:7.3f} ms   p95 {high * 1000:7.3f} ms   ratio {median / without:.3f}")
    return statistics.median(times["outbox"]) / without


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.session", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--fsync", choices=["on", "off"], default="on", help="what makes a commit durable")
    parser.add_argument("--commit-us", type=int, default=0, help="microseconds that a commit waits")
    parser.add_argument("--direct", action="store_true", help="direct delivery too; needs Redis and Kafka")
    chosen = parser.parse_args()
    with database(chosen.fsync, chosen.commit_us) as engine:
        times = measure(engine, chosen.direct, chosen.rounds)
    ratio = report(times)
    print(f"fsync {chosen.fsync}, commit +{chosen.commit_us} us, {chosen.rounds} transactions each", end=": ")
    print(f"the outbox costs {(ratio - 1) * 100:.1f} %")
    raise SystemExit(ratio > CEILING)


if __name__ == "__main__":
    main()
