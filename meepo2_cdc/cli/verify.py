"""
`meepo2-cdc verify`: a target compared with the source, and what differs mended.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, NoReturn

import click

from meepo2_cdc.cli.options import log_options, refuse_password, settings_options
from meepo2_cdc.errors import ConfigError, Error

if TYPE_CHECKING:
    from meepo2_cdc.replay.connectors import Chosen
    from meepo2_cdc.replay.verify.run import Verification, Verified

DIFFERENCES = 1
WAIT_SECONDS = 30.0
SHOWN = 20


@click.command(
    epilog="""\b
Exit codes: 0 all is equal, 1 something differs (repaired or not), 2 configuration.

\b
Example:
  meepo2-cdc verify sql_replicator
  meepo2-cdc verify redis_replicator shop.user 'shop.order*' --json
  meepo2-cdc verify --target sqlite:////var/lib/shop/replica.db --repair
"""
)
@settings_options("source-name", "source-dsn", "tables", connector="by-name")
@click.argument("names", nargs=-1, metavar="[CONNECTOR] [SCHEMA.TABLE...]")
@click.option("--target", metavar="URL", help="A SQL database in the place of CONNECTOR: that of sql_replicator.")
@click.option("--repair", is_flag=True, help="Apply what differs once more.")
@click.option(
    "--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, metavar="SHARE",
    help="Look at this share of the ranges of each table, 0.01 for a hundredth; at one range at least.",
)  # fmt: skip
@click.option(
    "--wait", type=click.FloatRange(0, 86_400), default=WAIT_SECONDS, show_default=True, metavar="SECONDS",
    help="How long changes on their way to the target are waited for, once everything was compared.",
)  # fmt: skip
@click.option("--json", "in_json", is_flag=True, help="One JSON object for each difference; the summary on stderr.")
@log_options
def verify(
    choose: Callable[..., Chosen],
    names: tuple[str, ...],
    target: str | None,
    repair: bool,
    sample: float,
    wait: float,
    in_json: bool,
) -> None:
    """
    Compare the rows that a target has with those of the source, and tell what is missing, extra or different.

    Any table, in ranges of its key, without locks, while changes go on: what differs is looked at again until it is
    equal, or the connector's group has applied all that the source had committed by then.
    """
    from meepo2_cdc.replay.sink import TryAgain

    chosen, patterns = _chosen(choose, names, target)
    try:
        verified = _verified(chosen, patterns, wait, sample, repair, has_group=target is None)
    except TryAgain as error:
        raise Error(f"it could not be compared to the end: {error.why}", fix="Start it again.") from error
    with closing(verified.differences):
        _show(verified, in_json)
        if verified.differences.count:
            _leave_with_differences()


def _chosen(choose: Callable[..., Chosen], names: tuple[str, ...], target: str | None) -> tuple[Chosen, list[str]]:
    from meepo2_cdc.config_sources import Given

    if target is not None:
        refuse_password("target", target)
        given = Given(("sql_replicator", "target_url"), target, "--target")
        return choose("sql_replicator", given), list(names)
    if not names:
        raise ConfigError("verify needs a CONNECTOR, or --target URL", fix="`meepo2-cdc connectors` lists them.")
    return choose(names[0]), list(names[1:])


def _verified(
    chosen: Chosen, patterns: list[str], wait: float, sample: float, repair: bool, *, has_group: bool
) -> Verified:
    from meepo2_cdc.kafka.clients import connect
    from meepo2_cdc.replay.verify.run import Verification

    if has_group:
        connect(chosen.settings.kafka)  # else it would be noticed only when something differs
    line = _Line(sys.stderr)
    with ExitStack() as stack:
        rows = stack.enter_context(closing(chosen.source_rows()))
        replica = chosen.replica()
        replica.open()
        stack.enter_context(closing(replica))
        verification = Verification(
            chosen, rows, replica, patience_seconds=wait, share=sample, has_group=has_group, progress=line.show
        )
        verified = verification.run(patterns)
        line.end()
        if repair:
            _repair(verification, verified)
    return verified


def _repair(verification: Verification, verified: Verified) -> None:
    if not verified.differences.count:
        return
    repaired = verification.repair(verified.differences)
    click.echo(f"repaired: {repaired.mended} of {verified.differences.count}", err=True)
    for why, number in repaired.stayed.items():
        click.echo(f"not repaired: {number}: {why}", err=True)


def _leave_with_differences() -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(DIFFERENCES)


# -- what is printed


def _show(verified: Verified, in_json: bool) -> None:
    from meepo2_cdc.cli.printing import print_lines
    from meepo2_cdc.cli.verified import as_lines, as_objects, summary

    if in_json:
        print_lines(as_objects(verified))
        for one in summary(verified):
            click.echo(one, err=True)
    else:
        print_lines(as_lines(verified, SHOWN))
        print_lines(summary(verified))


class _Line:
    """How far it is, on one line of a terminal; nothing elsewhere."""

    def __init__(self, out: Any) -> None:
        from meepo2_cdc.cli.following import duration

        self._out = out
        self._is_shown = out.isatty()
        self._duration = duration
        self._width = 0

    def show(self, name: str, rows: int, expected: int, seconds: float) -> None:
        if not self._is_shown:
            return
        text = f"{name}: {rows} rows"
        if rows and expected > rows:
            text += f" of about {expected}, {self._duration((expected - rows) * seconds / rows)} left"
        self._out.write("\r" + text.ljust(self._width))
        self._out.flush()
        self._width = len(text)

    def end(self) -> None:
        if self._width:
            self._out.write("\n")
