"""
`meepo2-cdc schemas`: the released schemas, as shipped.  Asks nobody.
"""

from __future__ import annotations

import click

from meepo2_cdc.errors import ConfigError


@click.group(
    epilog="""\b
Example:
  meepo2-cdc schemas show table_action > table_action.avsc
"""
)
def schemas() -> None:
    """List and show the schemas of the records."""


@schemas.command(
    "list",
    epilog="""\b
Example:
  meepo2-cdc schemas list
""",
)
def list_schemas() -> None:
    """List the released schemas, each with the fingerprint that its records begin with."""
    from meepo2_cdc.cli.printing import aligned, print_lines
    from meepo2_cdc.records.avro import NAMES, single_object_header, versions

    rows = [
        (name, str(version), single_object_header(name, version).hex(" "))
        for name in NAMES
        for version in versions(name)
    ]
    print_lines(aligned(("schema", "version", "records begin with"), rows))


@schemas.command(
    epilog="""\b
Example:
  meepo2-cdc schemas show table_key --version 1
"""
)
@click.argument("name")
@click.option("--version", type=int, metavar="N", help="The newest unless given.")
def show(name: str, version: int | None) -> None:
    """Print a released schema (table_action, table_key or checkpoint), as the file is."""
    from meepo2_cdc.records.avro import NAMES, schema_text, versions

    if name not in NAMES:
        raise ConfigError(f"there is no schema {name!r}; there are {', '.join(NAMES)}")
    released = versions(name)
    if version is not None and version not in released:
        raise ConfigError(f"{name} has no version {version}; it has {', '.join(map(str, released))}")
    click.echo(schema_text(name, version or released[-1]), nl=False)
