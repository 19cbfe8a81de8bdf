"""
What a comparison found, as text: each difference, and a summary by table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from meepo2_cdc.cli.printing import aligned, as_json, key_text, printable
from meepo2_cdc.replay.verify.settling import is_settled

if TYPE_CHECKING:
    from meepo2_cdc.replay.verify.run import Verified

_COLUMNS = ("table", "rows", "in target", "missing", "extra", "different", "changing", "")


def as_objects(verified: Verified) -> Iterator[str]:
    """One JSON object for each difference."""
    for one in verified.differences:
        yield as_json({
            "kind": one.kind,
            "schema": one.name.schema,
            "table": one.name.table,
            "pk": one.pk,
            "about": one.about,
            "settled": is_settled(one),
        })  # fmt: skip


def as_lines(verified: Verified, most: int) -> Iterator[str]:
    """The first differences, for people."""
    count = verified.differences.count
    if not count:
        return
    rows = [
        (one.kind, printable(str(one.name)), key_text(one.pk), _about(one.about, is_settled(one)))
        for one in islice(verified.differences, most)
    ]
    yield from aligned(("what", "table", "key", ""), rows)
    if count > most:
        yield f"and {count - most} more; --json tells all"
    yield ""


def _about(about: str, settled: bool) -> str:
    late = "" if settled else "not settled"
    return "; ".join(part for part in (printable(about) if about else "", late) if part)


def summary(verified: Verified) -> Iterator[str]:
    kinds = Counter((one.name, one.kind) for one in verified.differences)
    rows: list[tuple[str, ...]] = []
    for one in verified.tables:
        name = printable(str(one.name))
        if one.left_out:
            rows.append((name, "", "", "", "", "", "", f"left out: {one.left_out}"))
            continue
        found = [str(kinds[one.name, kind]) for kind in ("missing", "extra", "different")]
        rows.append((name, str(one.rows), str(one.held), *found, str(verified.changing.get(one.name, 0)), ""))
    yield from aligned(_COLUMNS, rows)
    count = verified.differences.count
    yield f"differences: {count}" if count else "no difference"
    late = sum(not is_settled(one) for one in verified.differences)
    if late:
        yield f"{late} not settled: the target was not seen to have all that the source had, within --wait"
    if verified.changing:
        yield f"{sum(verified.changing.values())} rows changed whenever they were looked at, and are not judged"
