"""
How the rows of a table are read: the source of the functions that were generated for it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.rows import KeyWalker, _Source
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.capture.binlog.transactions import Rows
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.table_filter import TableFilter

ROWS_ENOUGH = 100_000
"""By then the patterns of nulls that a table has were met."""


def explained(settings: Settings, table: str) -> Iterator[str]:
    """
    The source of each walk that the table's rows needed, under a heading; reads the log and touches no topic.

    From --start on, else from the oldest file.  Raises ConfigError when there are no rows of the table.
    """
    tables = TableFilter([table])
    # a number of its own: with the capture's, the server would end the dump of the one that runs
    server_id = random.randrange(1 << 31, 1 << 32)  # noqa: S311
    with closing(BinlogSource(settings.source, server_id, tables)) as source:
        source.prepare()
        layouts = _layouts(_rows(source, tables, settings.capture.start))
    if not layouts:
        raise ConfigError(
            f"the log of {source.address} holds no rows of {table}, for which a function would be generated",
            fix="Change a row of it, or begin earlier (--start), or see how its name is spelled.",
        )
    for number, layout in enumerate(layouts, 1):
        for (_, images, _), walker in layout._walkers.items():
            heading = f"# {layout.qualified_table}, layout {number} of {len(layouts)}: {_about(layout, images)}"
            yield f"{heading}\n{_source(walker)}"


def _rows(source: BinlogSource, tables: TableFilter, start: str) -> Iterator[Rows]:
    begin = source.begin("earliest" if start in ("latest", "snapshot") else start)
    end = source.end()
    reader = ChangeReader(
        begin.position,
        tables,
        source.catalog,
        since=begin.since,
        learn_gtids=source.has_gtids,
        skip_unreadable=True,
    )
    if reader.has_reached(end):
        return
    with source.read(begin.position) as stream:
        for change in reader.changes(stream):
            if isinstance(change, Rows):
                yield change
            elif reader.has_reached(end):
                return


def _layouts(changes: Iterable[Rows]) -> list[TableLayout]:
    """Those that were met, each with what it has learned."""
    met: dict[int, TableLayout] = {}
    rows = 0
    for change in changes:
        met[id(change.layout)] = change.layout
        rows += change.row_count
        if rows >= ROWS_ENOUGH:
            break
    return list(met.values())


def _about(layout: TableLayout, images: int) -> str:
    key = ", ".join(str(index + 1) for index, _, _ in layout.key)
    what = "updates" if images == 2 else "inserts and deletes"
    return f"{what} of {len(layout.columns)} columns, the key in column {key}"


def _source(walker: KeyWalker) -> str:
    return _Source(walker._columns, walker._key, walker._images).text()
