"""
`meepo2-cdc recover`: settles what crashes of applications that deliver directly left in doubt.
"""

from __future__ import annotations

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.config import Settings


@click.command()
@settings_options("schema-registry-url")
@log_options
def recover(settings: Settings) -> None:
    """To come."""
