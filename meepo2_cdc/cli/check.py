"""
`meepo2-cdc check`: everything that a capture needs, looked at before it is started.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from meepo2_cdc.cli.options import settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError


@click.command(
    epilog="""\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ meepo2-cdc check --tables 'shop.*'
"""
)
@settings_options("schema-registry-url", "tables", "source-name", "source-dsn", "server-id")
def check(settings: Settings) -> None:
    """
    Check the server's settings, the grants, the tables, Kafka and the schema registry.

    Prints what was found, and for what will not do the statement that mends it.  Exit code 2 when a capture would
    refuse to start; advice does not change the exit code.
    """
    from meepo2_cdc.capture.preflight import inspect_all

    failed = 0
    count = 0
    for finding in inspect_all(settings):
        count += 1
        mark = "ok  " if finding.passed else "note" if finding.advice else "FAIL"
        failed += mark == "FAIL"
        click.echo(f"{mark}  {finding.name:20} {finding.found}")
        if not finding.passed:
            click.echo(_indented(finding.fix.splitlines()))
    if failed:
        raise ConfigError(f"{failed} of {count} checks failed", fix="Mend them as printed, then check again.")


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"{'':27}{line}" for line in lines)
