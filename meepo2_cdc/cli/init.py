"""
`meepo2-cdc init`: a settings file for the answers given.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from meepo2_cdc.replay.sink import AnyConnector

_PASSWORD = re.compile(r"//[^@/]*:[^@]*@")
_QUESTIONS = {
    "source": ("The server, mysql://user@host:port/ without its password", "mysql://cdc@localhost:3306/"),
    "password_file": ("File that holds the password (empty: it is taken from ${SOURCE_PASSWORD})", ""),
    "bootstrap_servers": ("Kafka's brokers, host:port with commas between", "localhost:9092"),
    "kafka_username": ("Account at Kafka (empty: none is needed)", ""),
    "schema_registry_url": ("The schema registry (empty: there is none)", ""),
    "prefix": ("First part of every topic's name", "meepo2"),
    "tables": ("Which tables, schema.table patterns with commas between", "*.*"),
    "start": ("Where the first start begins: latest, earliest, snapshot", "latest"),
}


def _connectors(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from meepo2_cdc.cli.completion import connectors

    return connectors(context, parameter, begun)


@click.command(
    epilog="""\b
Example:
  meepo2-cdc init                       # asks
  meepo2-cdc init --source mysql://cdc@db1:3306/ --bootstrap-servers kafka1:9092 \\
    --prefix shop --tables 'shop.*' --connector redis_replicator shop.toml
"""
)
@click.argument("file", default="meepo2.toml", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--source", metavar="DSN", help="The server, mysql://user@host:port/ without its password.")
@click.option("--password-file", metavar="FILE", help="File that holds the password; else it is ${SOURCE_PASSWORD}.")
@click.option("--bootstrap-servers", metavar="HOST:PORT,...", help="Kafka's brokers.")
@click.option("--kafka-username", metavar="NAME", help="Account at Kafka (SASL_SSL, SCRAM); ${KAFKA_PASSWORD}.")
@click.option("--schema-registry-url", metavar="URL", help="The schema registry, without a password.")
@click.option("--prefix", metavar="NAME", help="First part of every topic's name.")
@click.option("--tables", metavar="GLOB,...", help="Tables as schema.table patterns.")
@click.option("--start", metavar="POSITION", help="Where the first start begins.")
@click.option("--metrics-port", type=int, metavar="N", help="Port of metrics, probes and the status page.")
@click.option(
    "--connector", "connectors", multiple=True, metavar="NAME", shell_complete=_connectors,
    help="A connector whose settings to write too; may be given several times.",
)  # fmt: skip
def init(file: Path, force: bool, metrics_port: int | None, connectors: tuple[str, ...], **flags: str | None) -> None:
    """
    Write a settings file with a comment for each setting into FILE, `-` for stdout.

    Where --source is not given and there is a terminal, it asks.  Secrets are never written: they are taken from files
    or from variables, and are named at the end.
    """
    if not force and file != Path("-") and file.exists():
        raise ConfigError(f"{file} is there already", fix="Give it another name, or --force to write over it.")
    answers = _answers(flags)
    found = dict(_connector(name) for name in connectors)
    content = _content(answers, metrics_port, found)
    _try(content)
    if file == Path("-"):
        click.echo(content, nl=False)
    else:
        _write(file, content)
    variables = dict.fromkeys(re.findall(r"(?m)^[^#]*?(?<!\$)\$\{(\w+)\}", content))
    set_first = "".join(f"  export {name}=...\n" for name in variables)
    click.echo(f"Next:\n{set_first}  meepo2-cdc check --config {file}", err=True)


def _answers(flags: Mapping[str, str | None]) -> dict[str, str]:
    """What was given; what was not, asked for or its default."""
    asks = flags["source"] is None and sys.stdin.isatty()
    if flags["source"] is None and not asks:
        raise click.UsageError("--source is needed where nobody can be asked: mysql://user@host:port/")
    ask: Callable[[str, str], str] = _asked if asks else lambda question, default: default
    answers = {}
    for name, (question, default) in _QUESTIONS.items():
        given = flags[name]
        answers[name] = ask(question, default) if given is None else given
        if _PASSWORD.search(answers[name]):
            raise ConfigError(
                f"the answer for {name} holds a password, which is not written into a file",
                fix="Leave it out: init says where the password is to come from.",
            )
    return answers


def _asked(question: str, default: str) -> str:
    return str(click.prompt(question, default=default, show_default=bool(default), err=True))


def _connector(name: str) -> tuple[str, AnyConnector]:
    from meepo2_cdc.replay.connectors import named

    return named(name)


def _content(answers: Mapping[str, str], metrics_port: int | None, connectors: Mapping[str, AnyConnector]) -> str:
    from meepo2_cdc.cli.settings_file import Variable, needed, text

    settings: dict[str, Any] = {
        "prefix": answers["prefix"],
        "tables": [one.strip() for one in answers["tables"].split(",")],
        "schema_registry_url": answers["schema_registry_url"] or None,
        "capture.start": answers["start"],
        "capture.metrics_port": metrics_port,
        "source.password_file": answers["password_file"] or None,
        "source.dsn": answers["source"] if answers["password_file"] else Variable(_with_variable(answers["source"])),
    }
    kafka: dict[str, str] = {"bootstrap.servers": answers["bootstrap_servers"]}
    if answers["kafka_username"]:
        kafka |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
        kafka |= {"sasl.username": answers["kafka_username"], "sasl.password": Variable("${KAFKA_PASSWORD}")}
    for name, connector in connectors.items():
        for setting in needed(connector.settings):
            settings[f"{name}.{setting}"] = Variable(f"${{{name}_{setting}}}".upper())
    return text(settings, kafka, connectors)


def _with_variable(dsn: str) -> str:
    """The password's place, in front of the host; percent-encoded in the variable."""
    user, at, rest = dsn.replace("${", "$${").rpartition("@")
    return f"{user}:${{SOURCE_PASSWORD}}@{rest}" if at else rest


def _try(content: str) -> None:
    """Raises ConfigError for answers that the program itself would refuse."""
    from meepo2_cdc.config import load

    names = re.findall(r"\$\{(\w+)\}", content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers"
        path.write_text(content, encoding="utf-8")
        settings = load(config=path, environment=dict.fromkeys(names, "x"))
    if settings.source.password_file is None:
        _ = settings.source.address


def _write(file: Path, content: str) -> None:
    """As a whole or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        part.write_text(content, encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
