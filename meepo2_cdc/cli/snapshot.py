"""
`meepo2-cdc snapshot`: existing rows as records, asked of the capture that runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.errors import ConfigError, Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from meepo2_cdc.capture.snapshot.requests import Request
    from meepo2_cdc.config import Settings
    from meepo2_cdc.kafka.checkpoints import CheckpointTail
    from meepo2_cdc.records.snapshot import Snapshot, TableName

ANSWER_SECONDS = 8.0
"""Longer than a capture takes that is there: it looks for the control topic once a second."""


class _TablesAreACommand(click.Group):
    """`snapshot shop.orders` is `snapshot start shop.orders`: no command has a dot in it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if not args or args[0] in known else ["start", *args])


@click.group(
    cls=_TablesAreACommand,
    epilog="""\b
Example:
  meepo2-cdc snapshot shop.orders 'shop.customer_*' --rate 20000
  meepo2-cdc snapshot pause
""",
)
def snapshot() -> None:
    """
    Write the rows that tables have already, as records; `snapshot TABLE...` is `snapshot start TABLE...`.

    The capture that runs reads them in chunks by key, without locks, while it goes on with the changes.
    """


@snapshot.command(
    epilog="""\b
Example:
  meepo2-cdc snapshot shop.orders --where "created >= '2026-01-01'" --chunk-rows 2000 --no-wait
"""
)
@settings_options("source-name")
@click.argument("tables", nargs=-1, required=True, metavar="SCHEMA.TABLE...")
@click.option("--where", metavar="SQL", help="Only rows that fulfil this condition.")
@click.option("--chunk-rows", type=click.IntRange(1, 1_000_000), metavar="N", help="Most rows that are read at once.")
@click.option("--rate", type=click.IntRange(1, 1 << 30), metavar="N", help="Most rows in a second.")
@click.option("--no-wait", is_flag=True, help="Only ask; do not follow how far it is.")
@click.option(
    "--once",
    is_flag=True,
    help="Capture up to the end of the snapshot in this process; refused while a capture is connected to the source.",
)
@log_options
def start(
    settings: Settings,
    tables: tuple[str, ...],
    where: str | None,
    chunk_rows: int | None,
    rate: int | None,
    no_wait: bool,
    once: bool,
) -> None:
    """
    Ask for the rows of tables, and follow how far the capture is.  Patterns with * and ? mean all that are captured.

    A table that is being written to may be read at any time.  Exits with 1 when a table could not be read.
    """
    from meepo2_cdc.capture.snapshot.progress import names
    from meepo2_cdc.capture.snapshot.requests import CHUNK_ROWS, Start

    try:
        request = Start(names(tables), where, chunk_rows or CHUNK_ROWS, rate)
    except ValueError as error:
        raise ConfigError(f"{error}; expected names such as shop.orders") from error
    if once:
        _capture_once(settings, request)
        return
    _ask(settings, request, lambda tail: None if no_wait else _follow(tail, request.id))


def _capture_once(settings: Settings, request: Request) -> None:
    from meepo2_cdc.capture.build import capture_service, refuse_second
    from meepo2_cdc.observe.foreground import in_foreground

    refuse_second(settings)
    _send(settings, request)
    service = capture_service(settings, once=True)
    in_foreground(service.run, service.stop)
    _follow(_tail(settings), getattr(request, "id", ""))


@snapshot.command(
    epilog="""\b
Example:
  meepo2-cdc snapshot pause
"""
)
@settings_options("source-name")
@click.argument("snapshot_id", metavar="[ID]", required=False)
def pause(settings: Settings, snapshot_id: str | None) -> None:
    """Let all snapshots wait, or one; the capture of changes goes on."""
    from meepo2_cdc.capture.snapshot.requests import Pause

    _ask(settings, Pause(snapshot_id))


@snapshot.command(
    epilog="""\b
Example:
  meepo2-cdc snapshot resume
"""
)
@settings_options("source-name")
@click.argument("snapshot_id", metavar="[ID]", required=False)
def resume(settings: Settings, snapshot_id: str | None) -> None:
    """Go on with the snapshots that wait, behind the last chunk that was written."""
    from meepo2_cdc.capture.snapshot.requests import Resume

    _ask(settings, Resume(snapshot_id))


@snapshot.command(
    epilog="""\b
Example:
  meepo2-cdc snapshot cancel --table shop.orders
"""
)
@settings_options("source-name")
@click.argument("snapshot_id", metavar="[ID]", required=False)
@click.option("--table", "tables", multiple=True, metavar="SCHEMA.TABLE", help="Only this one; may be repeated.")
def cancel(settings: Settings, snapshot_id: str | None, tables: tuple[str, ...]) -> None:
    """End all snapshots, or one, or tables of them; what was written stays."""
    from meepo2_cdc.capture.snapshot.progress import names
    from meepo2_cdc.capture.snapshot.requests import Cancel

    try:
        _ask(settings, Cancel(snapshot_id, names(tables)))
    except ValueError as error:
        raise ConfigError(f"{error}; expected names such as shop.orders") from error


@snapshot.command(
    "list",
    epilog="""\b
Example:
  meepo2-cdc snapshot list --json
""",
)
@settings_options("source-name")
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
def list_(settings: Settings, in_json: bool) -> None:
    """Show snapshots that go on, and the last that are over."""
    from meepo2_cdc.cli.checkpoint import last_checkpoint
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines
    from meepo2_cdc.records.snapshot import fields_of

    found = last_checkpoint(settings).snapshots
    if in_json:
        print_lines(as_json(fields_of(one)) for one in found)
    else:
        print_lines(aligned(_COLUMNS, (row for one in found for row in _rows(one))))


_COLUMNS = ("snapshot", "table", "state", "rows", "done", "why")


def _rows(one: Snapshot) -> list[tuple[str, ...]]:
    """One a table."""
    from meepo2_cdc.cli.printing import printable

    rows: list[tuple[str, ...]] = [
        (one.id, printable(str(t.name)), t.outcome.value, str(t.rows), "", t.why) for t in one.ended
    ]
    if one.current is not None:
        state = "paused" if one.paused else "reading"
        rows.append((one.id, printable(str(one.current.name)), state, str(one.current.rows), percentage(one), ""))
    rows += [(one.id, printable(str(name)), "paused" if one.paused else "waiting", "", "", "") for name in one.waiting]
    return rows


def percentage(one: Snapshot) -> str:
    """Of the table that is read, by the server's estimate."""
    from meepo2_cdc.capture.snapshot.progress import fraction

    done = None if one.current is None else fraction(one.current)
    return "" if done is None else f"{done:.0%}"


# -- asking, and following


def _ask(settings: Settings, request: Request, then: Callable[[CheckpointTail], None] = lambda tail: None) -> None:
    """Sends the request, and waits until the capture has heeded it."""
    from meepo2_cdc.cli.checkpoint import last_checkpoint

    with _tail(settings) as tail:
        if tail.last is None:
            last_checkpoint(settings)  # which says that no capture ever ran, and which did
        offset = _send(settings, request)
        heeded = tail.wait(lambda found: (found.control_offset or 0) > offset, ANSWER_SECONDS)
        if heeded is None:
            raise Error(
                f"no capture of the source {settings.source.name!r} heeded the request within {ANSWER_SECONDS:.0f} s",
                fix="It stays in the control topic: the capture that is started next heeds it.  Or let\n"
                "`meepo2-cdc snapshot TABLE... --once` read the tables without one.",
            )
        click.echo(f"heeded: {_told(request)}", err=True)
        then(tail)


def _told(request: Request) -> str:
    kind, which = type(request).__name__.lower(), getattr(request, "id", None)
    return f"{kind} {which or 'all'}"


def _send(settings: Settings, request: Request) -> int:
    from meepo2_cdc.capture.snapshot.requests import encoded
    from meepo2_cdc.kafka.clients import connect
    from meepo2_cdc.kafka.control import send
    from meepo2_cdc.kafka.topics import TopicNames

    topic = TopicNames(settings.prefix, settings.topics.template).control_topic(settings.source.name)
    admin = connect(settings.kafka)
    return send(settings.kafka, admin, topic, settings.topics.replication_factor, encoded(request))


def _tail(settings: Settings) -> CheckpointTail:
    from meepo2_cdc.kafka.checkpoints import CheckpointTail
    from meepo2_cdc.kafka.topics import TopicNames

    topic = TopicNames(settings.prefix, settings.topics.template).checkpoint_topic(settings.source.name)
    return CheckpointTail(settings.kafka, topic, settings.source.name)


def _follow(tail: CheckpointTail, snapshot_id: str) -> None:
    """Until it is over; raises Error for tables that could not be read."""
    from meepo2_cdc.cli.following import Line

    line = Line(sys.stderr)

    def over(found: Any) -> bool:
        one = _of(found.snapshots, snapshot_id)
        if one is not None:
            line.show(one)
        return one is None or one.is_over

    with tail:
        last = tail.wait(over, None)
    line.end()
    one = None if last is None else _of(last.snapshots, snapshot_id)
    if one is not None:
        _conclude(one)


def _of(snapshots: tuple[Snapshot, ...], snapshot_id: str) -> Snapshot | None:
    return next((one for one in snapshots if one.id == snapshot_id), None)


def _conclude(one: Snapshot) -> None:
    bad = [table for table in one.ended if table.outcome.value in ("gone", "refused")]
    click.echo(f"{one.rows} rows of {one.tables_ended} tables", err=True)
    if bad:
        raise Error(
            f"{len(bad)} of {one.tables_ended} tables could not be read",
            fix="\n".join(f"{_name(table.name)}: {table.why}" for table in bad),
        )


def _name(name: TableName) -> str:
    from meepo2_cdc.cli.printing import printable

    return printable(str(name))
