"""
What MySQL and MariaDB have in common as sources in tests: options, account, first data, one real query.
"""

import os
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services import places
from tests.services.running import Command

# binlog_row_metadata stays at the server's default: what it is and what it should be is the tests' matter.
# innodb_doublewrite stays ON: SIGKILL may end a page write in the middle.
OPTIONS = {
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "default_time_zone": "+00:00",
    "innodb_buffer_pool_size": "128M",
    "innodb_flush_log_at_trx_commit": "2",
    "local_infile": "ON",
    "max_allowed_packet": "64M",
    "performance_schema": "OFF",
    "skip_name_resolve": "ON",
    "sync_binlog": "0",
}

# One statement a line, as init_file wants it; outside the binlog, so that a fresh server's GTID set is empty.
ACCOUNT = """\
SET SESSION sql_log_bin = 0;
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
"""


@dataclass(frozen=True, slots=True)
class Build:
    """An unpacked server: how its program is run, the options it needs, what makes its first data."""

    command: Command
    options: Mapping[str, str]
    initialise: Callable[["Build", Path, Path], None]

    def with_arguments(self, *arguments: str) -> Command:
        return Command([*self.command.argv, *arguments], self.command.environment)


def address(host: str, port: int) -> str:
    return f"mysql://root:@{host}:{port}/"


def why_silent(dsn: str) -> str:
    """Ask the server for its version; "" when it told."""
    import pymysql
    from sqlalchemy.engine import make_url

    url = make_url(dsn)
    try:
        connection = pymysql.connect(
            host=url.host or "127.0.0.1",
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            connect_timeout=5,
            read_timeout=5,
        )
    except (pymysql.Error, OSError) as error:
        return str(error)
    with connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT VERSION()")
        except pymysql.Error as error:
            return str(error)
    return ""


def command(build: Build, directory: Path, port: int, options: Sequence[str] = ()) -> Command:
    """
    Ready `directory` for a server of that build and return what runs it.

    `options` are further lines of my.cnf, which win over ours.
    """
    # A MariaDB that starts removes the temporary tables in its tmpdir, whosever they are.
    scratch = directory / "tmp"
    scratch.mkdir(exist_ok=True)
    settings = {
        **OPTIONS,
        **build.options,
        "bind_address": "127.0.0.1",
        "datadir": str(directory / "data"),
        "port": str(port),
        "server_id": str(port),
        # Relative to the data directory: a path to a socket is limited to 107 bytes.
        "socket": "server.sock",
        "tmpdir": str(scratch),
    }
    if os.geteuid() == 0:
        settings["user"] = "root"
    lines = [f"{name}={value}" for name, value in settings.items()]
    configuration = directory / "my.cnf"
    configuration.write_text("\n".join(["[mysqld]", *lines, *options, ""]))
    (directory / "account.sql").write_text(ACCOUNT)
    # After SIGKILL the lock names a pid that the kernel may still list, and the server would not start.
    (directory / "data/server.sock.lock").unlink(missing_ok=True)
    places.made_once(directory / "data", lambda new: build.initialise(build, configuration, new))
    return build.with_arguments(f"--defaults-file={configuration}", f"--init-file={directory}/account.sql")


def tool(path: Path, runs: Command) -> str:
    """Write a script that runs a program with its library path; the script's path."""
    words = [*(f"{name}={value}" for name, value in runs.environment.items()), *runs.argv]
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    new.write_text(f'#!/bin/sh\nexec env {shlex.join(words)} "$@"\n')
    new.chmod(0o755)
    new.replace(path)
    return str(path)
