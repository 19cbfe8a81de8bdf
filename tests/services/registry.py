"""
A schema registry: Apicurio 2, through its Confluent API.  It keeps schemas in memory: a restart forgets.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import downloads, places
from tests.services.running import Command, program, run
from tests.services.server import Container, Server

VERSION = "2.6.13.Final"


def _application() -> Path:
    def fill(new: Path) -> None:
        with TemporaryDirectory(dir=new.parent) as temporary:
            coordinates = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            archive = downloads.maven_artifact(coordinates, Path(temporary))
            run(Command([program("tar", "tar"), "-xzf", str(archive), "-C", str(new)]))

    return places.cached(f"registry-{VERSION}", fill)


def _command(directory: Path, ports: Sequence[int]) -> Command:
    application = _application()
    scratch = directory / "data"
    scratch.mkdir(exist_ok=True)
    properties = {
        "java.io.tmpdir": f"{scratch}/",
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": ports[0],
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": ports[1],
    }
    flags = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    settings = [f"-D{name}={value}" for name, value in properties.items()]
    jar = next(path for pattern in ("quarkus-run.jar", "*-runner.jar") for path in application.glob(pattern))
    return Command([downloads.java(), *flags, *settings, "-jar", str(jar)])


def why_silent(url: str) -> str:
    """Ask for the subjects; "" when they were listed."""
    import requests

    try:
        answer = requests.get(f"{url}/subjects", timeout=5)
    except requests.RequestException as error:
        return str(error)
    return "" if answer.ok else f"GET {url}/subjects gave {answer.status_code}"


SERVERS = (
    Server(
        name="registry",
        address=lambda host, port: f"http://{host}:{port}/apis/ccompat/v7",
        why_silent=why_silent,
        command=_command,
        # In 2.x each way of keeping schemas is an image of its own.
        container=lambda directory, host, port: Container(f"apicurio/apicurio-registry-mem:{VERSION}", 8080),
        ports=2,
    ),
)
