"""
Sums over sets of keys, by which two sets in any order are found to be equal, or where they are not.

Equal sums of the keys that were found right and of those that the target has say that it has no others.  Unequal ones
say nothing for certain: keys may have come or gone between, or have been told twice.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

from meepo2_cdc.records import KeyPart

Key = tuple[KeyPart, ...]

_BITS = 16
_MASK = (1 << 64) - 1
_BUCKET = (1 << _BITS) - 1


class KeySums:
    """64-bit sums in as many buckets as keep a difference of one key to few others in a table of millions."""

    def __init__(self) -> None:
        self._sums = array("Q", bytes(8 << _BITS))

    def add(self, keys: Iterable[Key]) -> None:
        sums = self._sums
        for key in keys:
            number = hash(key)
            bucket = (number ^ number >> _BITS) & _BUCKET
            sums[bucket] = (sums[bucket] + number) & _MASK

    def unlike(self, other: KeySums) -> set[int]:
        """The buckets in which the sums differ."""
        if self._sums == other._sums:
            return set()
        return {n for n, (one, two) in enumerate(zip(self._sums, other._sums, strict=True)) if one != two}


def some_buckets(share: float, random: Callable[[], float]) -> set[int]:
    """That share of all buckets."""
    return {n for n in range(1 << _BITS) if random() < share}


def bucket_of(key: Key) -> int:
    number = hash(key)
    return (number ^ number >> _BITS) & _BUCKET
