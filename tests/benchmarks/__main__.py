"""
`make bench`: this program and its peers side by side, into benchmark-results.md.

    python -m tests.benchmarks --scale 0.1 --runs 1 --sets bulk oltp --peers go-mysql rust maxwell=/path/to/run.sh
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import growth, latency, limits, report
from tests.benchmarks.data_sets import DATA_SETS, Written, write
from tests.benchmarks.drain import Drain, Failed, drain
from tests.benchmarks.peer import OURS, PEERS, Peer, given
from tests.benchmarks.results import Results
from tests.benchmarks.servers import Servers, own_servers
from tests.services.running import Unavailable

OUT = Path(__file__).resolve().parents[2] / "benchmark-results.md"
RATES = (100, 1000)
ELSEWHERE = {
    "maxwell": 'no package registry has it; give it as PEERS="maxwell=/path/to/run.sh"',
    "canal": 'no package registry has it; give it as PEERS="canal=/path/to/run.sh"',
}


def main() -> int:
    wanted = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    results = Results(absent={name: why for name, why in ELSEWHERE.items() if name not in _names(wanted.peers)})
    homes = _install(wanted.peers, results)
    with own_servers() as servers, TemporaryDirectory(prefix="meepo2-bench-") as scratch:
        _run(wanted, servers, homes, results, Path(scratch))
        with servers.session() as session:
            report.write(
                wanted.out, results, shlex.join(["python", "-m", "tests.benchmarks", *sys.argv[1:]]), session.version
            )
    print(f"written: {wanted.out}")
    return 0


def _stop(number: int, _: object) -> None:
    """As Ctrl-C does: what was started is ended too."""
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="The peers side by side.")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data sets; 1 is about a minute of ours")
    parser.add_argument("--runs", type=int, default=3, help="rounds of all peers; medians are told")
    parser.add_argument("--sets", nargs="+", choices=DATA_SETS, default=list(DATA_SETS), metavar="SET")
    parser.add_argument(
        "--peers", nargs="*", default=[], metavar="PEER",
        help=f"name=/path/to/run.sh adds one; names choose of: {', '.join(PEERS)}",
    )  # fmt: skip
    parser.add_argument("--no-latency", action="store_true", help="leave out the latencies")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth")
    parser.add_argument("--seconds", type=float, default=600, help="longest time of one drain")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    try:
        chosen.peers = _peers(chosen.peers)
    except ValueError as error:
        parser.error(str(error))
    return chosen


def _peers(words: list[str]) -> list[Peer]:
    """Those that are named, ours always; all when none is named, and those that are given by path besides."""
    added = [given(word) for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    if unknown := set(names) - PEERS.keys():
        raise ValueError(f"there is no peer {', '.join(sorted(unknown))}; there are: {', '.join(PEERS)}")
    return [peer for peer in PEERS.values() if not names or peer is OURS or peer.name in names] + added


def _names(peers: list[Peer]) -> list[str]:
    return [peer.name for peer in peers]


def _install(peers: list[Peer], results: Results) -> dict[str, Path]:
    """Where each is; one that cannot be had is told with the reason, and left out."""
    homes: dict[str, Path] = {}
    for peer in peers:
        try:
            homes[peer.name] = peer.install()
            results.peers.append(peer)
        except Unavailable as failure:
            results.absent[peer.name] = f"could not be installed: {failure.what.splitlines()[-1]}"
            print(f"{peer.name}: left out.  {failure.what}", file=sys.stderr, flush=True)
    return homes


def _run(wanted: argparse.Namespace, servers: Servers, homes: dict[str, Path], results: Results, scratch: Path) -> None:
    for name in wanted.sets:
        data_set = DATA_SETS[name]
        with servers.session() as session:
            written = write(session, data_set, max(1, int(data_set.rows * wanted.scale)), f"bench_{name}")
        results.rows[name], results.bytes_a_row[name] = written.rows, written.log_bytes / written.rows
        if name == "bulk":
            limits.measure(servers, written)  # the first time the broker's code is cold
            results.limits = limits.measure(servers, written)
            _say("limits", str(results.limits))
        _rounds(wanted, servers, homes, results, written, scratch)
    if not wanted.no_latency:
        _latencies(servers, homes, results, scratch)
    if not wanted.no_growth:
        bulk, spread = int(DATA_SETS["bulk"].rows * wanted.scale), int(200_000 * wanted.scale)
        results.growth = growth.measure(servers, scratch, rows=bulk, rows_of_tables=spread, runs=wanted.runs)


def _rounds(
    wanted: argparse.Namespace,
    servers: Servers,
    homes: dict[str, Path],
    results: Results,
    written: Written,
    scratch: Path,
) -> None:
    """Every peer once a round; one that failed is not tried again."""
    name = written.data_set.name
    for _ in range(wanted.runs):
        for peer in results.peers:
            if (name, peer.name) in results.failures:
                continue
            try:
                done = drain(peer, homes[peer.name], servers, written, scratch, wanted.seconds)
                results.drains.setdefault((name, peer.name), []).append(done)
                _say(f"{name} {peer.name}", _line(done))
            except Failed as failure:
                results.failures[name, peer.name] = str(failure).splitlines()[0]
                _say(f"{name} {peer.name}", str(failure))


def _line(done: Drain) -> str:
    lost = f"  LOST {done.found.missing:,}" if done.found.missing else ""
    return (
        f"{done.rows_per_second:9,.0f} rows/s  {done.cpu_per_million:7.2f} CPU s per million"
        f" ({done.whole_cpu_per_million:.2f})  {done.peak_bytes >> 20:5} MB  ready {done.ready_seconds:.1f} s{lost}"
    )


def _say(what: str, line: str) -> None:
    print(f"{what:30} {line}", flush=True)


def _latencies(servers: Servers, homes: dict[str, Path], results: Results, scratch: Path) -> None:
    for rate in RATES:
        for peer in results.peers:
            try:
                found = latency.latency(
                    peer, homes[peer.name], servers, scratch, rate=rate, seconds=10, warm_up_seconds=10
                )
                results.latencies[peer.name, rate] = found
                _say(f"latency {peer.name}", str(found))
            except Failed as failure:
                results.failures["latency", peer.name] = str(failure).splitlines()[0]
                _say(f"latency {peer.name}", str(failure))


if __name__ == "__main__":
    sys.exit(main())
