"""
A page of figures, from the results of one run.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.data_sets import DATA_SETS
from tests.benchmarks.drain import Drain
from tests.benchmarks.floors import MEBIBYTE, Verdict, verdicts
from tests.benchmarks.results import Results
from tests.benchmarks.servers import KAFKA_JVM, KAFKA_VERSION

Lines = Iterator[str]

INTRODUCTION = """\
# Benchmarks

Written by `make bench`, which runs this program and its peers over the same binlogs of a real MySQL into the same real
Kafka, in turn and in one run.  Absolute figures are those of one small machine; the ratios are what counts.

meepo2-cdc ran with its defaults and all its guarantees: records and checkpoint in one Kafka transaction, lz4.  Its
records hold the key of a row; those of the peers hold the whole row, except meepo2's.  That is the design and not a
trick, but whoever needs the row in Kafka compares other things.
"""

METHOD = """\
## How it is measured

- A data set is written first, and drained then, by one peer at a time, from a topic and a process that are new.  The
  clock starts when the server begins to send its log, and stops when the last record can be seen by a `read_committed`
  consumer.  What is before that is "ready": the start of the process, of its JVM, its look at the schema.
- No connection is encrypted, since not every peer can speak TLS to MySQL.
- CPU is that of the whole process tree from the first byte on; in brackets, per million rows again, with the start-up
  included.  Memory is the peak of the resident set of the tree.
- Then the topic is read to its end, and every key that was written must be in it.  A peer that lost some is marked,
  and no ratio is taken from it.
- Rounds of all peers follow each other; the figures are medians, with the lowest and the highest rate beside them.
- Latency is taken at a steady rate of single-row transactions, from the return of the COMMIT to the record in the hands
  of a consumer, behind a warm-up of the same kind.
- The limits are parts of this program alone: the bytes of the dump and nothing else, the generated walk over rows in
  memory, the transactions of records that are ready.

A peer of your own takes part by `make bench PEERS="name=/path/to/run.sh"`; `tests/benchmarks/peers/README.md` is the
contract.  `make bench ARGS="--scale 0.1 --runs 1"` is a quick look.
"""


def write(path: Path, results: Results, command: str, mysql_version: str) -> None:
    parts = [
        [INTRODUCTION],
        _machine(command, mysql_version),
        _floors(results),
        _drains(results),
        _latencies(results),
        _limits(results),
        _growth(results),
        _absent(results),
        [METHOD],
    ]
    path.write_text("\n".join(line for part in parts for line in part))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Lines:
    """The first column to the left, the others to the right."""
    yield f"| {' | '.join(head)} |"
    yield f"|---|{'---:|' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _machine(command: str, mysql_version: str) -> Lines:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    model = next((line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), "unknown")
    ours = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "mysql-replication", "PyMySQL"))
    yield "## Where and how\n"
    yield f"- {datetime.now(UTC):%Y-%m-%d}, revision {_revision()}, `{command}`"
    yield f"- {os.cpu_count()} cores ({model}), {memory:.0f} GB, {platform.system()} {platform.release()}"
    yield f"- MySQL {mysql_version}, Kafka {KAFKA_VERSION} ({' '.join(KAFKA_JVM)}), one node each, on the same machine"
    yield f"- Python {platform.python_version()}, {ours}, librdkafka {_librdkafka()}\n"


def _cpu_lines() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _librdkafka() -> str:
    import confluent_kafka

    return str(confluent_kafka.libversion()[0])


def _revision() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _floors(results: Results) -> Lines:
    yield "## Floors and goals\n"
    yield 'Ratios above 1 are in favour of meepo2-cdc.  "-" is what this run did not measure, or what a peer lost.\n'
    yield from table(("", "found", "floor", "", "goal", ""), map(_verdict, verdicts(results)))


def _verdict(one: Verdict) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{value:,.0f} {one.unit}" if abs(value) >= 100 else f"{value:.3g} {one.unit}"

    def word(wanted: float | None) -> str:
        met = one.meets(wanted)
        return "" if met is None else "pass" if met else "**fail**"

    return (one.what, number(one.found), number(one.floor), word(one.floor), number(one.goal), word(one.goal))


HEAD = ("", "rows/s", "lowest-highest", "CPU s per million", "peak MB", "ready s", "bytes a record", "keys")


def _drains(results: Results) -> Lines:
    for name, rows in results.rows.items():
        yield f"## {name}\n"
        yield f"{rows:,} rows: {DATA_SETS[name].about}.  {results.bytes_a_row[name]:.0f} bytes of log a row.\n"
        yield from table(HEAD, _peer_rows(results, name))
        for peer in results.peers:
            if why := results.failures.get((name, peer.name)):
                yield f"{peer.title}: {why}\n"


def _peer_rows(results: Results, name: str) -> Iterator[tuple[str, ...]]:
    for peer in results.peers:
        runs = results.drains.get((name, peer.name), [])
        if runs:
            yield (peer.title, *_figures(runs))
        elif (name, peer.name) in results.failures:
            yield (peer.title, "failed", *[""] * (len(HEAD) - 2))


def _figures(runs: list[Drain]) -> tuple[str, ...]:
    def middle(value: Callable[[Drain], float]) -> float:
        return sorted(map(value, runs))[len(runs) // 2]

    rates = sorted(one.rows_per_second for one in runs)
    cpu, whole = middle(lambda one: one.cpu_per_million), middle(lambda one: one.whole_cpu_per_million)
    missing = max(one.found.missing for one in runs)
    return (
        f"{middle(lambda one: one.rows_per_second):,.0f}",
        f"{rates[0]:,.0f}-{rates[-1]:,.0f}",
        f"{cpu:.2f} ({whole:.2f})",
        f"{middle(lambda one: one.peak_bytes) / MEBIBYTE:,.0f}",
        f"{middle(lambda one: one.ready_seconds):.1f}",
        f"{middle(lambda one: one.found.bytes_a_record):.0f}",
        f"**{missing:,} lost**" if missing else "all",
    )


def _latencies(results: Results) -> Lines:
    if not results.latencies:
        return
    yield "## Latency\n"
    titles = {peer.name: peer.title for peer in results.peers}
    yield from table(
        ("", "transactions/s", "p50 ms", "p99 ms", "most ms"),
        (
            (titles[name], f"{one.rate:,.0f}", f"{one.p50_ms:.1f}", f"{one.p99_ms:.1f}", f"{one.most_ms:.0f}")
            for (name, _), one in results.latencies.items()
        ),
    )


def _limits(results: Results) -> Lines:
    limits = results.limits
    if limits is None:
        return
    yield "## Limits\n"
    yield from table(
        ("alone, on bulk", "rows/s"),
        (
            ("the bytes of the dump", f"{limits.dump:,.0f}"),
            ("the generated walk over rows", f"{limits.walk:,.0f}"),
            ("transactions of ready records", f"{limits.produce:,.0f}"),
            ("replay: read, decoded, merged by seq", f"{limits.replay:,.0f}"),
        ),
    )


def _growth(results: Results) -> Lines:
    growth = results.growth
    if growth is None:
        return
    yield "## Growth\n"
    lines = [(f"bulk, {one.rows:,} rows", one) for one in growth.rows]
    lines += [
        (f"{one.rows:,} rows in {count} tables", one)
        for count, one in zip(("10", "10,000"), growth.tables, strict=True)
    ]
    yield from table(
        ("meepo2-cdc", "seconds", "rows/s", "CPU s per million", "peak MB"),
        (
            (
                what,
                f"{one.seconds:.2f}",
                f"{one.rows_per_second:,.0f}",
                f"{one.cpu_per_million:.2f}",
                f"{one.peak_bytes / MEBIBYTE:.0f}",
            )
            for what, one in lines
        ),
    )
    yield f"A table that is met for the first time takes {growth.seconds_a_topic * 1000:.1f} ms for its topic.\n"


def _absent(results: Results) -> Lines:
    if not results.absent:
        return
    yield "## Not in this run\n"
    for name, why in results.absent.items():
        yield f"- {name}: {why}"
    yield ""
