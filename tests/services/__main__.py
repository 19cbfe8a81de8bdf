"""
The command line: `python -m tests.services up [NAME[?] ...]`, `down [NAME ...]`, `status`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from tests.services import bring, places
from tests.services.catalogue import SERVERS, find
from tests.services.golang import PROGRAMS, Program
from tests.services.running import Unavailable, last_lines
from tests.services.server import Server

T = TypeVar("T")
K = TypeVar("K", bound=Server | Program)
DEFAULT = (
    "mysql",
    "mysql9?",
    "mariadb",
    "mariadb11?",
    "kafka",
    "registry",
    "redis",
    "postgres",
    "elasticsearch",
    "helm",
    "chromium",
)


def up(names: Sequence[str]) -> int:
    """Bring servers up and build programs, all at once; 1 when one cannot be had whose name does not end in `?`."""
    optional = {_named(name.removesuffix("?")): name.endswith("?") for name in names}
    failed = False
    began = time.monotonic()
    with _alone():
        for server, outcome in _at_once(_had, optional):
            if isinstance(outcome, Unavailable):
                failed |= not optional[server]
                _complain(server, outcome, optional[server])
            else:
                seconds = time.monotonic() - began
                print(f"{server.name:9} {outcome.address}  ({outcome.how}, {seconds:.1f} s)", flush=True)
    return 1 if failed else 0


def _named(name: str) -> Server | Program:
    return PROGRAMS[name] if name in PROGRAMS else find(name)


def _had(one: Server | Program) -> bring.Up:
    return bring.up(one) if isinstance(one, Server) else bring.Up(str(one.path()), "a program")


def down(names: Sequence[str]) -> int:
    """Stop the servers that are ours, all of them when none is named."""
    servers = [find(name) for name in names] or SERVERS.values()
    failed = False
    with _alone():
        for server, outcome in _at_once(lambda server: bring.down(places.STATE / server.name), servers):
            if isinstance(outcome, Unavailable):
                failed = True
                print(f"{server.name}: {outcome.what}", file=sys.stderr)
            else:
                print(f"{server.name:9} {outcome or 'was not running'}", flush=True)
    return 1 if failed else 0


@contextmanager
def _alone() -> Iterator[None]:
    """One run at a time in this tree; however it ends, .services/env then tells what runs."""
    with places.locked(places.STATE / "lock"):
        try:
            yield
        finally:
            bring.write_environment()


def status() -> int:
    for server in SERVERS.values():
        print(f"{server.name:9} {bring.status(server)}")
    return 0


def _at_once(work: Callable[[K], T], servers: Iterable[K]) -> Iterator[tuple[K, T | Unavailable]]:
    """Each server or program with what `work` gave for it, in the order in which they are done."""
    with ThreadPoolExecutor(max_workers=len(SERVERS) + len(PROGRAMS)) as pool:
        tasks = {pool.submit(work, server): server for server in servers}
        for task in as_completed(tasks):
            failure = task.exception()
            yield tasks[task], failure if isinstance(failure, Unavailable) else task.result()


def _complain(server: Server | Program, failure: Unavailable, optional: bool) -> None:
    advice = f"{failure.what}, or set {server.variable}."
    if optional:
        print(f"{server.name:9} left out: {advice}", flush=True)
    else:
        lines = [f"{server.name}: {advice}", *last_lines(failure.log).splitlines()]
        print("\n    ".join(lines), file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services", description="The tests' real servers.")
    commands = parser.add_subparsers(dest="command", required=True)
    known, programs = f"of: {', '.join(SERVERS)}", ", ".join(PROGRAMS)
    start = commands.add_parser("up", help="have servers answer, and write their addresses to .services/env")
    start.add_argument("names", nargs="*", help=f"{known}, {programs}; with ? when it may be missing")
    stop = commands.add_parser("down", help="stop servers; data stays")
    stop.add_argument("names", nargs="*", help=known)
    commands.add_parser("status", help="tell which servers answer, and where")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "up":
            return up(chosen.names or DEFAULT)
        return down(chosen.names) if chosen.command == "down" else status()
    except ValueError as error:
        parser.error(str(error))
    except Unavailable as failure:
        parser.exit(1, f"{failure.what}\n")


if __name__ == "__main__":
    sys.exit(main())
