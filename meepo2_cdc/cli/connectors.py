"""
`meepo2-cdc connectors`: which consumer applications are installed.
"""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Example:
  meepo2-cdc connectors --json
"""
)
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
def connectors(in_json: bool) -> None:
    """List the connectors that are installed, and what each still lacks."""
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines
    from meepo2_cdc.replay.connectors import installed

    found = installed()
    if in_json:
        print_lines(
            as_json({"name": one.name, "package": one.package, "summary": one.summary, "lacks": one.lacks})
            for one in found
        )
        return
    rows = [(one.name, f"lacks {one.lacks}" if one.lacks else "ready", one.package, one.summary or "") for one in found]
    print_lines(aligned(("connector", "state", "package", "what it does"), rows))
