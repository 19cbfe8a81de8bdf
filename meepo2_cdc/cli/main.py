"""
The command line's root: which commands there are, and what an error looks like.

Knows no command's work; each lies in a module of its own, imported only when it is run.
"""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from meepo2_cdc import __version__
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.observe.redaction import redacted

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "init": "Write a settings file for the answers given.",
    "check": "Check the server's settings, the grants and Kafka before a capture.",
    "capture": "Read the server's log and write its changes to Kafka.",
    "snapshot": "Write the rows that tables have already, and see how far it is.",
    "run": "Apply the records of the data topics with a connector.",
    "relay": "Move the records of SQLAlchemy sessions from their outbox to Kafka.",
    "recover": "Settle what crashes of applications that deliver directly left in doubt.",
    "replay": "Print the records of the data topics, or apply them with a connector once more.",
    "verify": "Compare a target with the source, row by row, and mend what differs.",
    "connectors": "List the connectors that are installed.",
    "dead-letters": "List, show, replay and drop the records that a connector set aside.",
    "checkpoint": "Show and move where a capture goes on.",
    "status": "Show how far the capture is.",
    "topics": "List the data topics.",
    "schemas": "List and show the schemas of the records.",
    "completion": "Print the script that makes a shell complete this command.",
}
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class Commands(click.Group):
    """Commands found by name, their errors turned into one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return command_named(name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table too: a shell waits for it."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list from the table above: click would import every command for it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click's own, which it prints itself
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError as error:
            if ctx.invoked_subcommand in ("capture", "run"):
                _fail(ctx, error)  # they write nothing to stdout, so the pipe is another's
            _leave(sys.stdout)
            ctx.exit(0)  # whoever read has what they wanted
        except Exception as error:  # noqa: BLE001 - the top of the command line: a person reads this
            _fail(ctx, error)
        return result


def command_named(name: str) -> click.Command:
    """Imports the command's module, which is named like it."""
    module = name.replace("-", "_")
    command: click.Command = getattr(import_module(f"meepo2_cdc.cli.{module}"), module)
    return command


def _leave(stream: TextIO) -> None:
    """The interpreter flushes at its end, and would complain of the closed pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(ctx: click.Context, error: Exception) -> NoReturn:
    known = error if isinstance(error, Error) else _in_words(error)
    try:
        if ctx.params.get("debug"):
            click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
        _complain(str(known) or type(error).__name__)
    except OSError:
        _leave(sys.stderr)  # nobody takes the message; the exit code is all the more needed
    ctx.exit(known.exit_code)


def _complain(message: str) -> None:
    first, *rest = redacted(message).splitlines()
    click.echo(f"meepo2-cdc: {first}", err=True)
    for line in rest:
        click.echo(f"{'':12}{line}", err=True)


def _in_words(error: Exception) -> Error:
    """What a library raised, as one of our errors."""
    from confluent_kafka import KafkaError, KafkaException

    if isinstance(error, KafkaException) and isinstance(error.args[0], KafkaError):
        cause = error.args[0]
        if cause.code() == KafkaError._INVALID_ARG:
            return ConfigError(f"[kafka] is not accepted: {cause.str()}")
        return Error(f"Kafka: {cause.str() or cause.name()}")
    if isinstance(error, OSError):
        return Error(f"{type(error).__name__}: {error}")
    return Error(
        f"unexpected {type(error).__name__}: {error}",
        fix="This is a fault of the program. `meepo2-cdc --debug ...` (or MEEPO2_DEBUG=1) shows where.",
    )


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Exit codes: 0 done, 1 anything else, 2 configuration, 3 position lost,
4 fenced by another instance, 5 unreadable data.

\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ meepo2-cdc check
""",
)
@click.version_option(__version__, prog_name="meepo2-cdc")
@click.option("--debug", is_flag=True, envvar="MEEPO2_DEBUG", help="Show tracebacks of errors.")
def cli(debug: bool) -> None:
    """
    Changes of a MySQL or MariaDB database, in Kafka: which row, never its contents.

    Settings come from flags, then MEEPO2_* variables, then the TOML file of --config or MEEPO2_CONFIG.
    """


def main() -> None:
    """The installed command."""
    cli(prog_name="meepo2-cdc")
