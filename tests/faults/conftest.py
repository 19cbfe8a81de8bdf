"""
Servers that these tests may kill: a MySQL, a MariaDB, a replica of each, and a Kafka behind a proxy.

They stand in the place of the shared ones here, so that nobody else notices a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.owned import ACCOUNT, LONG, PASSWORD, Owned, OwnedKafka, OwnedSources, fresh_scene
from tests.faults.trial import JUDGED
from tests.proxy import Proxy
from tests.scenes import FULL_METADATA, Scene, Server
from tests.services import native


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnedSources]:
    """Servers by name (mysql, mariadb, and replicas: mysql-replica, mariadb-replica), each started when first asked."""
    made: dict[str, Owned] = {}
    with ExitStack() as running:

        def owned(name: str) -> Owned:
            if name not in made:
                start = native.mariadb if name.startswith("mariadb") else native.mysql
                process = running.enter_context(start(tmp_path_factory.mktemp(name), FULL_METADATA))
                made[name] = Owned(process, Server(process.dsn))
            return made[name]

        yield owned


@pytest.fixture(scope="session")
def own_mysql(sources: OwnedSources) -> Server:
    return sources("mysql").server


@pytest.fixture(scope="session")
def own_mariadb(sources: OwnedSources) -> Server:
    return sources("mariadb").server


@pytest.fixture(scope="session")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnedKafka]:
    """A broker with the account ACCOUNT, which has no rights at first."""
    directory = tmp_path_factory.mktemp("kafka")
    with Proxy("127.0.0.1", 0) as proxy, native.kafka(directory, proxy.port, {ACCOUNT: PASSWORD}) as process:
        proxy.target = "127.0.0.1", process.proxied_port
        yield OwnedKafka(process, proxy)


@pytest.fixture(scope="session")
def kafka(own_kafka: OwnedKafka) -> str:
    return own_kafka.process.address


@pytest.fixture
def owned(sources: OwnedSources, request: pytest.FixtureRequest) -> Owned:
    """The server that the parameter names; the MySQL without one."""
    return sources(getattr(request, "param", "mysql"))


@pytest.fixture
def scene(owned: Owned, own_kafka: OwnedKafka) -> Iterator[Scene]:
    """A scene on the owned server, at the beginning of its log; captures go through the proxy to Kafka."""
    with fresh_scene(owned.server, own_kafka.process.address) as made:
        made.settings["MEEPO2_KAFKA_BOOTSTRAP_SERVERS"] = own_kafka.proxied
        yield made


@pytest.fixture
def source_link(owned: Owned, scene: Scene) -> Iterator[Proxy]:
    """The link between the capture and its source."""
    with Proxy(owned.server.host, owned.server.port) as proxy:
        scene.settings["MEEPO2_SOURCE_DSN"] = f"mysql://root:@127.0.0.1:{proxy.port}/"
        yield proxy


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the histories of this run were like; in a long run and with -v each of them."""
    if not JUDGED:
        return
    terminalreporter.section("histories compared with the server's own log")
    for name, found in JUDGED if LONG or terminalreporter.config.get_verbosity() > 0 else ():
        terminalreporter.write_line(f"{found}  {name}")
    sums = [sum(getattr(found, name) for _, found in JUDGED) for name in ("records", "lost", "repeated")]
    terminalreporter.write_line("{} histories: {} records, {} lost, {} repeated".format(len(JUDGED), *sums))
