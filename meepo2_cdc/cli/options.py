"""
Options that set settings, the same on every command.

    @click.command()
    @settings_options("source-name", "tables")
    def status(settings: Settings) -> None: ...

--config, --prefix and --bootstrap-servers are always there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from meepo2_cdc.config import Settings


class Flag(NamedTuple):
    """An option and the setting that it gives."""

    setting: tuple[str, ...]
    metavar: str
    help: str


FLAGS = {
    "prefix": Flag(("prefix",), "NAME", "First part of every topic's name."),
    "bootstrap-servers": Flag(("kafka", "bootstrap.servers"), "HOST:PORT,...", "Kafka's brokers."),
    "schema-registry-url": Flag(("schema_registry_url",), "URL", "The schema registry, where there is one."),
    "tables": Flag(("tables",), "GLOB,...", "Tables as schema.table patterns; one that begins with ! leaves out."),
    "source-name": Flag(("source", "name"), "NAME", "Name of the source."),
    "source-dsn": Flag(("source", "dsn"), "DSN", "The server, mysql://user@host:port/ without its password."),
    "start": Flag(
        ("capture", "start"),
        "POSITION",
        "Where a capture without a checkpoint begins: earliest, latest, FILE:POSITION, GTIDs, or an ISO time.",
    ),
    "server-id": Flag(("source", "server_id"), "N", "Replica number with which the capture registers."),
}
_ALWAYS = ("prefix", "bootstrap-servers")
_PASSWORD = re.compile(r"//[^@]*:.*@")  # `ps` shows a command line to everybody


def settings_options(*extra: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options to a click command, whose function then gets the settings as its first argument."""
    names = [name for name in FLAGS if name in _ALWAYS or name in extra]
    unknown = set(extra) - set(FLAGS)
    if unknown:
        raise ValueError(f"no such options: {unknown}")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_settings(**arguments: Any) -> Any:
            values = {name: arguments.pop(_parameter(name)) for name in names}
            return function(_settings(arguments.pop("config"), values), **arguments)

        decorated: Callable[..., Any] = with_settings
        for name in reversed(names):
            flag = FLAGS[name]
            decorated = click.option(f"--{name}", _parameter(name), metavar=flag.metavar, help=flag.help)(decorated)
        config = click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file.")
        return config(decorated)

    return decorate


def _parameter(name: str) -> str:
    return f"set_{name.replace('-', '_')}"


def _settings(config: Path | None, values: dict[str, str | None]) -> Settings:
    from meepo2_cdc.config import Given, load  # here, so that --help need not import pydantic

    for name in ("source-dsn", "schema-registry-url"):
        _refuse_password(name, values.get(name))
    given = [Given(FLAGS[name].setting, value, f"--{name}") for name, value in values.items() if value is not None]
    return load(given, config)


def _refuse_password(name: str, value: str | None) -> None:
    if value is None or not _PASSWORD.search(value):
        return
    if name == "source-dsn":
        fix = "Set MEEPO2_SOURCE_DSN instead, or leave the password out and set source.password_file."
    else:
        fix = "Set MEEPO2_SCHEMA_REGISTRY_URL instead."
    raise ConfigError(f"--{name} holds a password, which everybody on this machine can read", fix=fix)
