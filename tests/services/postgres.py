"""
The PostgreSQL of the machine's distribution (15 on Debian 12, 16 on Ubuntu 24.04), unpacked, not installed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import downloads, places
from tests.services.running import Command, program, run
from tests.services.server import Container, Server

ACCOUNT = "postgres"
PASSWORD = "postgres"  # noqa: S105 - of a server for tests
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    # a path to a socket is limited to 107 bytes
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    # a kill loses nothing that was handed to the kernel
    "fsync": "off",
}


def address(host: str, port: int) -> str:
    return f"postgresql://{ACCOUNT}:{PASSWORD}@{host}:{port}/postgres"


def why_silent(url: str) -> str:
    """Ask the server for its version; "" when it told."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            connection.execute("SELECT version()")
    except psycopg.Error as error:
        return str(error)
    return ""


def command(directory: Path, port: int, options: Mapping[str, str] | None = None) -> Command:
    """Ready `directory` for a server and return what runs it; `options` are lines of postgresql.conf."""
    places.made_once(directory / "data", _initialise)
    settings = {**OPTIONS, "port": str(port), **(options or {})}
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    (directory / "data/postgresql.conf").write_text(lines)
    return _as_nobody([_program("postgres"), "-D", str(directory / "data")])


def _initialise(new: Path) -> None:
    password = new.parent / "password"
    password.write_text(PASSWORD)
    if os.geteuid() == 0:
        os.chown(new, _NOBODY, _NOBODY)
    options = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync", f"--pwfile={password}"]
    run(_as_nobody([_program("initdb"), f"--pgdata={new}", f"--username={ACCOUNT}", *options]))


_NOBODY = 65534


def _as_nobody(argv: Sequence[str]) -> Command:
    """
    PostgreSQL refuses to be run by root; so it is another account's then, one that may enter root's directories.

    initdb runs `postgres` by itself, so that the libraries are told by a variable.
    """
    libraries = [*_root().glob("lib/*-linux-gnu"), *_root().glob("usr/lib/*-linux-gnu")]
    environment = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    if os.geteuid() != 0:
        return Command(argv, environment)
    account = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
    # access(2), by which initdb looks for its files, disregards capabilities of other accounts without this bit
    may = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    return Command([program("setpriv", "util-linux"), *account, *may, *argv], environment)


def _program(name: str) -> str:
    return str(next(_root().glob(f"usr/lib/postgresql/*/bin/{name}")))


def _root() -> Path:
    return downloads.debian_root("postgres", ["postgresql"]).path


def _command(directory: Path, ports: Sequence[int]) -> Command:
    return command(directory, ports[0])


SERVERS = (
    Server(
        name="postgres",
        address=address,
        why_silent=why_silent,
        command=_command,
        container=lambda directory, host, port: Container("postgres:15", 5432, {"POSTGRES_PASSWORD": PASSWORD}),
    ),
)
