"""
`meepo2-cdc status`: how far the capture is, by its checkpoint and, where the server may be asked, by its log.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.cli.options import settings_options
from meepo2_cdc.errors import Error

if TYPE_CHECKING:
    from meepo2_cdc.config import Settings, SourceSettings
    from meepo2_cdc.records.checkpoint import Checkpoint


@click.command(
    epilog="""\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ meepo2-cdc status --source-name db
"""
)
@settings_options("source-name", "source-dsn")
@click.option("--json", "in_json", is_flag=True, help="One JSON object.")
def status(settings: Settings, in_json: bool) -> None:
    """
    Show how far the capture is.

    The ages of the checkpoint and of its last change, always; where the source's dsn is set, also the end of
    the server's log, the bytes between, and whether the server still has the file where the capture goes on.
    """
    from meepo2_cdc.cli.checkpoint import for_people, last_checkpoint
    from meepo2_cdc.cli.printing import as_json, fields, print_lines

    found = last_checkpoint(settings)
    shown = (found.fields() if in_json else for_people(found)) | ages(found, datetime.now(UTC))
    failed = None
    if settings.source.dsn is not None or settings.source.dsn_file is not None:
        try:
            shown |= against(found, _server_logs(settings.source))
        except Error as error:
            failed = error  # what Kafka says is shown all the same
    print_lines([as_json(shown)] if in_json else fields(shown))
    if failed is not None:
        raise failed


def ages(found: Checkpoint, now: datetime) -> dict[str, Any]:
    """Seconds since the checkpoint was written, and since the source committed the last change in it."""
    committed = None if found.committed_at is None else (now - found.committed_at).total_seconds()
    return {
        "written_seconds_ago": (now - found.written_at).total_seconds(),
        "committed_seconds_ago": committed,
    }


def against(found: Checkpoint, logs: list[tuple[str, int]]) -> dict[str, Any]:
    """The checkpoint beside the server's log files (name, bytes), oldest first."""
    names = [name for name, _ in logs]
    held = found.file in names
    behind = None
    if held:
        behind = sum(size for _, size in logs[names.index(found.file) :]) - found.position
    file, position = logs[-1] if logs else (None, None)
    return {
        "server_file": file,
        "server_position": position,
        "server_has_checkpoint_file": held,
        "bytes_behind": behind,
    }


def _server_logs(source: SourceSettings) -> list[tuple[str, int]]:
    import pymysql

    from meepo2_cdc.capture.binlog.connection import connect, translated

    connection = connect(source)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW BINARY LOGS")
            return [(str(row[0]), int(row[1])) for row in cursor.fetchall()]
    except pymysql.err.MySQLError as error:
        raise translated(error, str(source.address)) from error
    finally:
        connection.close()
