"""
The reference pages, made from the program itself: `python -m tests.reference` (or `make docs`) writes them.

A test compares what is there with what would be made, so a page cannot fall behind.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import click
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import meepo2_connectors
from meepo2_cdc.checks import CHECKS
from meepo2_cdc.cli.main import COMMANDS, cli
from meepo2_cdc.config import CONNECTORS, RowsSettings, Settings
from meepo2_cdc.observe import metrics

PAGES = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- made by `make docs`; edit the program, not this page -->"


def pages() -> dict[str, str]:
    """Text by file name."""
    return {
        "settings.md": _settings(),
        "connectors.md": _connectors(),
        "command-line.md": _command_line(),
        "metrics.md": _metrics(),
        "checks.md": _checks(),
    }


def _connectors() -> str:
    lines = ["# Connectors' settings", "", MADE, ""]
    lines += ["A secret can be given as a file too: `url_file` in place of `url`.  See [connectors](../connectors.md)."]
    for entry in sorted(entry_points(group=CONNECTORS), key=lambda one: one.name):
        if entry.dist is not None and entry.dist.name == "meepo2-cdc":
            connector = entry.load()
            lines += ["", f"## [{entry.name}]", "", connector.summary, "", *_table(connector.settings, entry.name)]
    return "\n".join([*lines, ""])


def _settings() -> str:
    lines = [
        "# Settings",
        "",
        MADE,
        "",
        "Flags win over variables, those over the TOML file (`--config` or `MEEPO2_CONFIG`), the file over defaults.",
        "In the file, `${NAME}` stands for a variable of the environment.",
        "",
        *_table(Settings, ""),
    ]
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += ["", f"## [{name}]", "", _sentence(field.annotation.__doc__), "", *_table(field.annotation, name)]
            if name == "capture":
                lines += ["", "### [[capture.rows]]", "", _sentence(RowsSettings.__doc__), "", *_rules(RowsSettings)]
    lines += ["", "## [kafka]", "", _sentence(Settings.model_fields["kafka"].description)]
    return "\n".join([*lines, ""])


def _table(model: type[BaseModel], section: str) -> list[str]:
    rows = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name == "kafka" or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            continue
        variable = "_".join(filter(None, ("MEEPO2", section.upper(), name.upper())))
        rows.append(f"| `{name}` | `{variable}` | {_default(field.default)} | {_sentence(field.description)} |")
    return rows


def _rules(model: type[BaseModel]) -> list[str]:
    """Settings of which there are as many as there are rules, so that none has a variable of its own."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    return rows + [
        f"| `{name}` | {_default(field.default)} | {_sentence(field.description)} |"
        for name, field in model.model_fields.items()
    ]


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = ", ".join(value)
    return f"`{value}`"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _command_line() -> str:
    lines = ["# Command line", "", MADE]
    context = click.Context(cli, info_name="meepo2-cdc", max_content_width=110, terminal_width=110)
    for name in ("", *COMMANDS):
        command = cli.get_command(context, name) if name else cli
        assert command is not None
        lines += _help(command, f"meepo2-cdc {name}".strip())
    return "\n".join([*lines, ""])


def _help(command: click.Command, name: str) -> list[str]:
    context = click.Context(command, info_name=name, max_content_width=110, terminal_width=110)
    lines = ["", f"## {name}", "", "```", command.get_help(context), "```"]
    if isinstance(command, click.Group) and name != "meepo2-cdc":
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            lines += _help(found, f"{name} {child}")
    return lines


def _metrics() -> str:
    roles = ", ".join(f"`{one}.metrics_port`" for one in ("capture", "run", "session"))
    lines = ["# Metrics", "", MADE, "", f"Served at `/metrics` where one of {roles} is set."]
    ours = {id(one): one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)}
    lines += ["", "| metric | type | labels | of | meaning |", "|---|---|---|---|---|"]
    lines += [
        _metric(one, ", ".join(role for role in metrics._OF if one in metrics._OF[role])) for one in ours.values()
    ]
    lines += ["", "## Connectors' own", "", "| metric | type | labels | of | meaning |", "|---|---|---|---|---|"]
    lines += [_metric(one, connector) for connector, one in _of_connectors()]
    return "\n".join([*lines, ""])


def _checks() -> str:
    lines = [
        "# Checks",
        "",
        MADE,
        "",
        "What `meepo2-cdc check` looks at, and a capture at its start. `FAIL` is what would end a capture or keep it",
        "from starting, `note` is advice. `meepo2-cdc check --explain NAME` says the same as this page.",
    ]
    for name, about in CHECKS.items():
        lines += [
            "",
            f"## {name}",
            "",
            about.what,
            "",
            f"**Why.** {about.why}",
            "",
            f"**How to mend it.** {about.mend}",
        ]
    return "\n".join([*lines, ""])


def _metric(one: MetricWrapperBase, of: str) -> str:
    described = next(iter(one.describe()))
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(one._labelnames)
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {of} | {described.documentation} |"


def _of_connectors() -> list[tuple[str, MetricWrapperBase]]:
    """Those that modules of connectors hold, by the connector's name."""
    found = []
    for module in walk_packages(meepo2_connectors.__path__, "meepo2_connectors."):
        held = vars(import_module(module.name)).values()
        name = module.name.split(".")[1]
        found += [(name, one) for one in held if isinstance(one, MetricWrapperBase) and one not in metrics._EVERY]
    return sorted({id(one): (name, one) for name, one in found}.values(), key=lambda pair: pair[0])


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}")
