"""
Whether cost grows linearly: ten times the rows, and the same rows in a thousand times the tables.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tests.benchmarks import data_sets
from tests.benchmarks.data_sets import ORDER, ORDERS, DataSet, Written
from tests.benchmarks.drain import Drain, Failed, drain
from tests.benchmarks.peer import OURS, Peer, new_prefix, started
from tests.benchmarks.servers import Servers, Session
from tests.benchmarks.topics import Cluster

FEW, MANY, NEW = 10, 10_000, 500
ROWS_A_STATEMENT = 10
ONCE_SECONDS = 600
ONE_TOPIC = "{prefix}.{schema}.orders"


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of each pair: fewer and more rows, fewer and more tables; seconds that one new topic takes."""

    rows: tuple[Drain, Drain]
    tables: tuple[Drain, Drain]
    seconds_a_topic: float


def measure(servers: Servers, scratch: Path, *, rows: int, rows_of_tables: int, runs: int) -> Growth:
    spread = max(rows_of_tables, MANY * ROWS_A_STATEMENT)  # every table has a row
    few, many = (_over_tables(servers, scratch, count, spread, runs) for count in (FEW, MANY))
    fewer, more = (_over_rows(servers, scratch, count, runs) for count in (rows // 10, rows))
    return Growth((fewer, more), (few, many), _new_topics(servers, scratch))


def _over_rows(servers: Servers, scratch: Path, rows: int, runs: int) -> Drain:
    return _median(servers, scratch, data_sets.DATA_SETS["bulk"], rows, OURS, runs)


def _over_tables(servers: Servers, scratch: Path, tables: int, rows: int, runs: int) -> Drain:
    """All tables into one topic: what is compared is reading, not the making of topics."""
    ours = replace(OURS, variables={"MEEPO2_TOPICS_TEMPLATE": ONE_TOPIC})
    return _median(servers, scratch, _spread(tables), rows, ours, runs)


def _median(servers: Servers, scratch: Path, data_set: DataSet, rows: int, peer: Peer, runs: int) -> Drain:
    """The run with the median time."""
    written = _written(servers, data_set, rows)
    done = [drain(peer, peer.install(), servers, written, scratch, 600) for _ in range(runs)]
    if not all(one.found.complete for one in done):
        raise Failed(f"not every key arrived: {[one.found for one in done]}")
    return sorted(done, key=lambda one: one.seconds)[(runs - 1) // 2]


def _written(servers: Servers, data_set: DataSet, rows: int) -> Written:
    with servers.session() as session:
        return data_sets.write(session, data_set, rows, "bench_growth")


def _spread(tables: int) -> DataSet:
    """Statements of ten rows, each into the next of so many tables."""
    return DataSet(f"tables-{tables}", "", "orders", 0, _tables(tables), _in_turn(tables))


def _tables(count: int) -> Callable[[Session, int], None]:
    def create(session: Session, rows: int) -> None:
        for number in range(count):
            session.run(ORDERS.replace("TABLE orders", f"TABLE orders_{number}"))

    return create


def _in_turn(count: int) -> Callable[[Session, int], None]:
    def insert(session: Session, rows: int) -> None:
        for number, first in enumerate(range(1, rows + 1, ROWS_A_STATEMENT)):
            row = ORDER.format(n=f"({first} + n)")
            session.run(f"INSERT INTO orders_{number % count} SELECT {row} FROM numbers WHERE n < {ROWS_A_STATEMENT}")

    return insert


def _new_topics(servers: Servers, scratch: Path) -> float:
    """What a table that is met for the first time costs more when it has a topic of its own."""
    written = _written(servers, _spread(NEW), NEW * ROWS_A_STATEMENT)
    alone = _capture_seconds(servers, scratch, written, {"MEEPO2_TOPICS_TEMPLATE": ONE_TOPIC})
    each = _capture_seconds(servers, scratch, written, {})
    return (each - alone) / NEW


def _capture_seconds(servers: Servers, scratch: Path, written: Written, variables: dict[str, str]) -> float:
    """From the capture's own first line to its last."""
    peer = replace(OURS, script=OURS.script.with_name("once.sh"), variables=variables)
    prefix = new_prefix(peer)
    try:
        with started(peer, peer.install(), servers, written, prefix, scratch / prefix) as start:
            start.process.wait(ONCE_SECONDS)
            log = (start.directory / "err").read_text()
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{written.data_set.name} was not read within {ONCE_SECONDS} s") from error
    finally:
        Cluster(servers.kafka).delete(prefix)
        shutil.rmtree(scratch / prefix, ignore_errors=True)
    times = re.findall(r"^(\S+Z) .*Capture (?:st|end)", log, re.M)
    if len(times) != 2:
        raise Failed(f"the capture did not come to its end\n{log[-2000:]}")
    began, ended = map(datetime.fromisoformat, times)
    return (ended - began).total_seconds()


def ratio(values: Sequence[float]) -> float:
    fewer, more = values
    return more / fewer
