"""
What the benchmarks of both Redis connectors share: a Redis of their own, and how a rate is measured and shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

from redis import Redis

from tests.services import native

BATCH = 500
TURNS = 7

T = TypeVar("T")


@contextmanager
def own_redis() -> Iterator[Redis]:
    """A client of a Redis that keeps nothing on disk, as a cache does."""
    with (
        TemporaryDirectory() as directory,
        native.redis(Path(directory), {"appendonly": "no"}) as server,
        closing(Redis.from_url(server.url)) as client,
    ):
        yield client


def url_of(redis: Redis) -> str:
    return f"redis://127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


def batches(all_of: Sequence[T], most: int = BATCH) -> list[Sequence[T]]:
    return [all_of[at : at + most] for at in range(0, len(all_of), most)]


def rates(redis: Redis, contestants: dict[str, tuple[int, Callable[[], None]]]) -> dict[str, list[float]]:
    """Of each, by name, how many a second in each of some turns; in a turn everybody has an empty Redis once."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(TURNS):
        for name, (count, work) in contestants.items():
            redis.flushall()
            begin = time.perf_counter()
            work()
            found[name].append(count / (time.perf_counter() - begin))
    return found


def show(found: dict[str, list[float]], ours: str) -> None:
    """Medians; the ratios are those within one turn, as a machine that others use is not the same in the next."""
    for name, turns in found.items():
        ratios = [one / other for one, other in zip(found[ours], turns, strict=True)]
        told = (
            "" if name == ours else f"   ours is {median(ratios):5.2f} times this ({min(ratios):.2f}-{max(ratios):.2f})"
        )
        print(f"{name:56} {median(turns):10,.0f} /s{told}")
