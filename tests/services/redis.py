"""
The Redis of the machine's distribution (7.0 on Debian 12 and Ubuntu 24.04), unpacked, not installed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import downloads
from tests.services.running import Command
from tests.services.server import Container, Server

OPTIONS = {
    "bind": "127.0.0.1",
    "save": '""',
    "appendonly": "no",
    # the command line keeps the directory, by which the process is recognised before it is signalled
    "set-proc-title": "no",
}


def address(host: str, port: int) -> str:
    return f"redis://{host}:{port}/0"


def why_silent(url: str) -> str:
    """Ping; "" when it was answered."""
    import redis

    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        return str(error)
    return ""


def command(directory: Path, port: int, options: Mapping[str, str] | None = None) -> Command:
    """Writes the directory's redis.conf anew, and runs by it."""
    root = downloads.debian_root("redis", ["redis-server"])
    settings = {**OPTIONS, "port": str(port), "dir": f'"{directory}"', **(options or {})}
    configuration = directory / "redis.conf"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return Command([*root.command("usr/bin/redis-server"), str(configuration)])


def _command(directory: Path, ports: Sequence[int]) -> Command:
    return command(directory, ports[0])


SERVERS = (
    Server(
        name="redis",
        address=address,
        why_silent=why_silent,
        command=_command,
        container=lambda directory, host, port: Container("redis:7", 6379),
    ),
)
