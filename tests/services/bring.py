"""
One server up or down: which of the three ways, the wait until it answers, and what is written about it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.services import containers, places, running
from tests.services.addresses import VARIABLES, read_exports, write_exports
from tests.services.catalogue import SERVERS
from tests.services.running import Unavailable
from tests.services.server import Server

START_SECONDS = 90
GIVEN_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Up:
    """A server that answers, and how it was got."""

    address: str
    how: str


def given(server: Server) -> str | None:
    """The address somebody else set; not our own, which a shell may have read from the file we write."""
    value = os.environ.get(server.variable)
    return value if value and value != _ours(server).get(server.variable) else None


def _ours(server: Server) -> dict[str, str]:
    return read_exports(places.STATE / server.name / "exports")


def up(server: Server) -> Up:
    """Have the server answer; Unavailable when it cannot."""
    address = given(server)
    if address is not None:
        return _there(server, address)
    directory = places.STATE / server.name
    directory.mkdir(parents=True, exist_ok=True)
    address = _ours(server).get(server.variable)
    if address is not None and (how := _running(directory)):
        _await(server, address, directory)
        return Up(address, f"already running, {how}")
    return _start(server, directory)


def _there(server: Server, address: str) -> Up:
    if why := running.poll(lambda: server.why_silent(address), GIVEN_SECONDS):
        raise Unavailable(f"{server.variable}={address} does not answer ({why}). Start that server")
    return Up(address, "from the environment")


def _running(directory: Path) -> str:
    """How the server of `directory` runs now; "" when it does not."""
    if pid := running.pid_of(directory):
        return f"pid {pid}"
    container = containers.find(directory)
    return f"container {container.short_id}" if container and container.status == "running" else ""


def _start(server: Server, directory: Path) -> Up:
    down(directory)
    if client := containers.engine():
        address = containers.start(client, server, directory)
        tools = {}
    else:
        numbers = running.ports(directory, server.ports)
        command = server.command(directory, numbers)
        tools = {VARIABLES[name]: path for name, path in server.tools(directory).items()}
        running.require_free(directory, numbers)
        running.spawn(directory, command)
        address = server.address("127.0.0.1", numbers[0])
    write_exports(directory / "exports", {server.variable: address, **tools})
    _await(server, address, directory)
    return Up(address, f"started, {_running(directory)}")


def _await(server: Server, address: str, directory: Path) -> None:
    def alive() -> bool:
        return bool(_running(directory))

    if why := running.poll(lambda: server.why_silent(address), START_SECONDS, alive):
        state = f"is silent at {address}" if alive() else "ended while it started"
        path = directory / "log"
        said = containers.log(directory) or (path.read_text(errors="replace") if path.exists() else "")
        advice = f"See {path}; to start afresh, take it down and remove {directory}"
        raise Unavailable(f"{state} ({why}). {advice}", said)


def down(directory: Path) -> str:
    """Stop what runs in `directory`; what that was, or "" when nothing ran."""
    if pid := running.stop(directory):
        return f"stopped, pid {pid}"
    identity = containers.stop(directory)
    return f"removed, container {identity}" if identity else ""


def status(server: Server) -> str:
    """One line: where the server is, how it runs, and whether it answers."""
    if address := given(server):
        how = "from the environment"
    else:
        address, how = _ours(server).get(server.variable), _running(places.STATE / server.name)
    if not address or not how:
        return "not running"
    why = server.why_silent(address)
    return f"{address}  ({how}{f'; does not answer: {why}' if why else ''})"


def write_environment() -> Path:
    """Write the file a shell reads: our servers that run; what was given is in the environment already."""
    exports: dict[str, str] = {}
    for server in SERVERS.values():
        if given(server) is None and _running(places.STATE / server.name):
            exports |= _ours(server)
    path = places.STATE / "env"
    write_exports(path, exports)
    return path
