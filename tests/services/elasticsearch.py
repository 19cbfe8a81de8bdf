"""
Elasticsearch 8: the minimal distribution out of Maven Central, which is the server without most of its modules.

It has no `GET /`, no accounts, no scripts.  It refuses to run as root, so root lends it to another account.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import downloads, places
from tests.services.running import Command, program, run
from tests.services.server import Container, Server

VERSION = "8.19.21"
MINIMAL = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
HEAP = "512m"
NOBODY = "65534"
OPTIONS = {
    "discovery.type": "single-node",
    "cluster.routing.allocation.disk.threshold_enabled": "false",
}
PASSWORD = "secret-of-a-test"  # noqa: S105 - of servers that a test owns
_BCRYPT = "$2a$10$aqUrbk8BOX6jy.bJzUBlf.4MRsljDM77qcxZfASPRRkQOtpVH4p8S"
WITHOUT_ACCOUNTS = {"xpack.security.enabled": "false"}
WITH_ACCOUNTS = {"xpack.security.enabled": "true"}


def address(host: str, port: int) -> str:
    return f"http://{host}:{port}"


def why_silent(url: str, account: tuple[str, str] | None = None) -> str:
    """Ask for the cluster's health; "" when indexes can be made and written."""
    import requests

    try:
        answer = requests.get(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s", timeout=5, auth=account)
    except requests.RequestException as error:
        return str(error)
    return "" if answer.ok else f"its health gave {answer.status_code}"


def command(directory: Path, ports: Sequence[int], options: Mapping[str, str] | None = None) -> Command:
    """Writes the directory's configuration anew, and runs by it; the first port is HTTP's."""
    home = _home()
    configuration = directory / "config"
    shutil.rmtree(configuration, ignore_errors=True)
    shutil.copytree(home / "config", configuration)
    settings = {
        **OPTIONS,
        **WITHOUT_ACCOUNTS,
        "network.host": "127.0.0.1",
        "http.port": str(ports[0]),
        "transport.port": str(ports[1]),
        "path.data": str(directory / "data"),
        "path.logs": str(directory / "logs"),
        **(options or {}),
    }
    (configuration / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    (directory / "tmp").mkdir(exist_ok=True)
    environment = {
        "ES_JAVA_HOME": str(Path(downloads.java()).resolve().parents[1]),
        "ES_PATH_CONF": str(configuration),
        "ES_TMPDIR": str(directory / "tmp"),
        "ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP} -XX:TieredStopAtLevel=1",
        "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1",
    }
    return Command([*_not_root(), str(home / "bin/elasticsearch")], environment)


def add_accounts(directory: Path, roles: Mapping[str, str]) -> None:
    """`admin` with all rights, and an account for each role; before the start that is to know them."""
    configuration = directory / "config"
    (configuration / "roles.yml").write_text("".join(f"{name}: {rights}\n" for name, rights in roles.items()))
    (configuration / "users").write_text("".join(f"{name}:{_BCRYPT}\n" for name in ("admin", *roles)))
    granted = {"superuser": "admin", **{name: name for name in roles}}
    (configuration / "users_roles").write_text("".join(f"{role}:{name}\n" for role, name in granted.items()))


def _not_root() -> list[str]:
    """Another account that may read and write what root may: nothing has to be given to it, nor made readable."""
    if os.geteuid() != 0:
        return []
    setpriv = program("setpriv", "util-linux")
    capabilities = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    return [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *capabilities]


def _home() -> Path:
    def fill(new: Path) -> None:
        with TemporaryDirectory(dir=new.parent) as temporary:
            archive = downloads.maven_artifact(MINIMAL, Path(temporary))
            run(Command([program("unzip", "unzip"), "-q", str(archive), "-d", temporary]))
            for part in Path(temporary, f"elasticsearch-{VERSION}").iterdir():
                shutil.move(part, new / part.name)
        options = new / "config/jvm.options"
        kept = [line for line in options.read_text().splitlines() if "-Xlog" not in line]
        options.write_text("\n".join(kept) + "\n")

    return places.cached(f"elasticsearch-{VERSION}", fill)


def _command(directory: Path, ports: Sequence[int]) -> Command:
    return command(directory, ports)


def _container(directory: Path, host: str, port: int) -> Container:
    environment = {**OPTIONS, **WITHOUT_ACCOUNTS, "ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP}"}
    return Container(f"elasticsearch:{VERSION}", 9200, environment)


SERVERS = (
    Server(
        name="elasticsearch",
        address=address,
        why_silent=why_silent,
        command=_command,
        container=_container,
        ports=2,
    ),
)
