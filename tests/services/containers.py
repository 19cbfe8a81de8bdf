"""
Servers as containers that outlive this process, remembered and stopped by container id.

MEEPO2_TEST_ENGINE=none has servers started natively although a Docker engine answers.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.running import Unavailable, last_lines, ports
from tests.services.server import Server

if TYPE_CHECKING:
    from docker.models.containers import Container as Running
    from testcontainers.core.docker_client import DockerClient


def engine() -> "DockerClient | None":
    """A client of the Docker engine, when one answers."""
    from docker.errors import DockerException
    from testcontainers.core.docker_client import DockerClient

    if os.environ.get("MEEPO2_TEST_ENGINE") == "none":
        return None
    try:
        return DockerClient()  # asks the engine for its version
    except DockerException:
        return None


def start(client: "DockerClient", server: Server, directory: Path) -> str:
    """Start the server's container and return its address."""
    from docker.errors import DockerException
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    # The reaper would remove the container when this process ends.
    testcontainers_config.ryuk_disabled = True
    host = client.host().replace("localhost", "127.0.0.1")
    port = ports(directory, server.ports)[0]
    wanted = server.container(directory, host, port)
    try:
        container = DockerContainer(wanted.image).with_envs(**wanted.environment)
        # Docker takes a pair, for one interface; testcontainers passes it on and has no type for it.
        container.ports[str(wanted.port)] = ("127.0.0.1", port) if host == "127.0.0.1" else port  # type: ignore[assignment]
        if wanted.command:
            container.with_command(list(wanted.command))
        for ours, inside in wanted.mounts.items():
            container.with_volume_mapping(ours, inside)
        identity = container.start().get_container_id()
    except DockerException as error:
        why = f"Docker cannot run {wanted.image}: {error}. Start it natively by MEEPO2_TEST_ENGINE=none"
        raise Unavailable(why) from error
    (directory / "container").write_text(identity)
    return server.address(host, port)


def find(directory: Path) -> "Running | None":
    """The container `up` started for `directory`, running or not."""
    remembered = directory / "container"
    if not remembered.exists():
        return None
    from docker.errors import DockerException, NotFound
    from testcontainers.core.docker_client import DockerClient

    try:
        return DockerClient().client.containers.get(remembered.read_text())
    except NotFound:
        return None
    except DockerException as error:
        raise Unavailable(f"Docker does not answer about the container in {remembered}: {error}") from error


def log(directory: Path) -> str:
    container = find(directory)
    return last_lines(container.logs(tail=20).decode(errors="replace")) if container else ""


def stop(directory: Path) -> str | None:
    """Remove the container of `directory`; its id, or None when there was none."""
    container = find(directory)
    if container is not None:
        container.remove(force=True, v=True)
    (directory / "container").unlink(missing_ok=True)
    return container.short_id if container is not None else None
