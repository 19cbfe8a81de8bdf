"""
The reference pages, made from the program itself: `python -m tests.reference` (or `make docs`) writes them.

A test compares what is there with what would be made, so a page cannot fall behind.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from meepo2_cdc.cli.main import COMMANDS, cli
from meepo2_cdc.config import CONNECTORS, Settings
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
    rows = [
        "# Metrics",
        "",
        MADE,
        "",
        "Served at `http://127.0.0.1:PORT/metrics` when `capture.metrics_port` or `run.metrics_port` is set.",
    ]
    rows += ["", "| metric | type | labels | meaning |", "|---|---|---|---|"]
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            described = next(iter(one.describe()))
            suffix = "_total" if described.type == "counter" else ""
            labels = ", ".join(one._labelnames)
            rows.append(f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation} |")
    return "\n".join([*rows, ""])


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}")
