"""
Options that set settings, the same on every command.

    @click.command()
    @settings_options("source-name", "tables")
    def status(settings: Settings) -> None: ...

--config, --prefix and --bootstrap-servers are always there.  With `connector="required"` the command has an argument
CONNECTOR, and its function gets `chosen`, the connector with all settings, in place of the settings; with "optional"
it gets both, `chosen` being None where no connector is named.  With "by-name" it gets a function that chooses the
connector of a name, where the settings given besides may be some of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from pydantic import BaseModel

    from meepo2_cdc.config import Settings
    from meepo2_cdc.config_sources import Given
    from meepo2_cdc.replay.connectors import Chosen


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
        "Where a capture without a checkpoint begins: earliest, latest, snapshot (latest, and the rows that are there"
        " already), FILE:POSITION, GTIDs, or an ISO time.",
    ),
    "server-id": Flag(("source", "server_id"), "N", "Replica number with which the capture registers."),
}
_ALWAYS = ("prefix", "bootstrap-servers")
_PASSWORD = re.compile(r"//[^@]*:.*@")  # `ps` shows a command line to everybody


def settings_options(
    *extra: str, connector: Literal["required", "optional", "by-name"] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options to a click command, whose function then gets the settings as its first argument."""
    names = [name for name in FLAGS if name in _ALWAYS or name in extra]
    unknown = set(extra) - set(FLAGS)
    if unknown:
        raise ValueError(f"no such options: {unknown}")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_settings(**arguments: Any) -> Any:
            values = {name: arguments.pop(_parameter(name)) for name in names}
            given, config = _given(values), arguments.pop("config")
            if connector is None:
                return function(_settings(given, config), **arguments)
            if connector == "by-name":
                return function(lambda name, *more: _chosen(name, [*given, *more], config), **arguments)
            name = arguments.pop("connector")
            chosen = _chosen(name, given, config) if name else None
            if connector == "required":
                return function(chosen, **arguments)
            return function(chosen.settings if chosen else _settings(given, config), chosen=chosen, **arguments)

        decorated: Callable[..., Any] = with_settings
        for name in reversed(names):
            flag = FLAGS[name]
            decorated = click.option(f"--{name}", _parameter(name), metavar=flag.metavar, help=flag.help)(decorated)
        decorated = click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file.")(
            decorated
        )
        if connector in ("required", "optional"):
            decorated = click.argument(
                "connector", required=connector == "required", shell_complete=_complete_connectors
            )(decorated)
        return decorated

    return decorate


def log_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --log-level and --log-format, and sets logging up before the function runs."""

    @wraps(function)
    def with_logs(*arguments: Any, log_level: str, log_format: Literal["text", "json"], **named: Any) -> Any:
        from meepo2_cdc.observe import logs

        logs.set_up(log_level, log_format)
        return function(*arguments, **named)

    decorated: Callable[..., Any] = with_logs
    decorated = click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
        envvar="MEEPO2_LOG_FORMAT",
    )(decorated)  # fmt: skip
    return click.option(
        "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO", show_default=True,
        envvar="MEEPO2_LOG_LEVEL",
    )(decorated)  # fmt: skip


def _parameter(name: str) -> str:
    return f"set_{name.replace('-', '_')}"


def settings_of(parameters: Mapping[str, Any]) -> Settings:
    """Those of a command that is not run yet, from its parameters as far as they are known."""
    values = {name: parameters.get(_parameter(name)) for name in FLAGS}
    return _settings(_given(values), parameters.get("config"))


def _complete_connectors(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from meepo2_cdc.cli.completion import connectors

    return connectors(context, parameter, begun)


def _given(values: dict[str, str | None]) -> list[Given]:
    from meepo2_cdc.config_sources import Given  # here, so that --help need not import pydantic

    for name in ("source-dsn", "schema-registry-url"):
        refuse_password(name, values.get(name))
    return [Given(FLAGS[name].setting, value, f"--{name}") for name, value in values.items() if value is not None]


def _settings(given: list[Given], config: Path | None) -> Settings:
    from meepo2_cdc.config import load

    settings = load(given, config)
    _hide(settings)
    return settings


def _hide(*settings: BaseModel) -> None:
    """Before anything is done with them: from here on no output has a secret in it."""
    from meepo2_cdc.config_secrets import secrets_in
    from meepo2_cdc.observe.redaction import hide

    hide(secrets_in(*settings))


def _chosen(name: str, given: list[Given], config: Path | None) -> Chosen:
    from meepo2_cdc.replay.connectors import choose

    chosen = choose(name, given, config)
    _hide(chosen.settings, chosen.own)
    return chosen


_INSTEAD = {
    "source-dsn": "Set MEEPO2_SOURCE_DSN instead, or leave the password out and set source.password_file.",
    "schema-registry-url": "Set MEEPO2_SCHEMA_REGISTRY_URL instead.",
    "target": "Set MEEPO2_SQL_REPLICATOR_TARGET_URL instead, and name the connector sql_replicator.",
}


def refuse_password(name: str, value: str | None) -> None:
    """Raises ConfigError for an option whose value tells a password to everybody who runs `ps`."""
    if value is not None and _PASSWORD.search(value):
        raise ConfigError(f"--{name} holds a password, which everybody on this machine can read", fix=_INSTEAD[name])
