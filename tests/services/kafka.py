"""
Apache Kafka: one KRaft node, made of its own jars from Maven Central.
"""

import base64
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import downloads, places
from tests.services.running import Command, run
from tests.services.server import Container, Server

VERSION = "4.4.0"
# kafka_2.13 brings log4j without its slf4j binding, and logs nothing without that.
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version>
    </dependency>
  </dependencies>
</project>
"""
LOG4J = """\
status=error
appender.stdout.type=Console
appender.stdout.name=STDOUT
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=INFO
rootLogger.appenderRef.stdout.ref=STDOUT
"""
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",
    # On a machine that is busy with thousands of topics a heartbeat comes late, and a broker that is fenced for it
    # has all the more to do.
    "broker.session.timeout.ms": "30000",
}


def _jars() -> Path:
    def fill(new: Path) -> None:
        downloads.announce(f"Kafka {VERSION} by Maven")
        (new / "pom.xml").write_text(POM)
        (new / "log4j2.properties").write_text(LOG4J)
        downloads.maven("copy-dependencies", f"-DoutputDirectory={new}", "-DincludeScope=runtime", cwd=new)

    return places.cached(f"kafka-{VERSION}", fill)


def _command(directory: Path, ports: Sequence[int]) -> Command:
    jars = _jars()
    flags = ["-Xms64m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    logging = f"-Dlog4j2.configurationFile=file:{jars}/log4j2.properties"
    java = [downloads.java(), *flags, logging, "-cp", f"{jars}/*"]
    settings = _write_settings(directory / "server.properties", directory / "data", ports)

    def format_storage(new: Path) -> None:
        once = _write_settings(directory / "format.properties", new, ports)
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        run(Command([*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", identity, "-c", once]))

    places.made_once(directory / "data", format_storage)
    return Command([*java, "kafka.Kafka", settings])


def _write_settings(path: Path, data: Path, ports: Sequence[int]) -> str:
    broker, controller = ports
    settings = {
        **PROPERTIES,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
        "log.dirs": str(data),
    }
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return str(path)


def _container(directory: Path, host: str, port: int) -> Container:
    settings: Mapping[str, str] = {
        **PROPERTIES,
        "controller.quorum.voters": "1@localhost:9093",
        "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
    }
    environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in settings.items()}
    return Container(f"apache/kafka:{VERSION}", 9092, environment)


def why_silent(address: str) -> str:
    """Ask for the cluster's metadata; "" when a broker is in it."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Level 0: a broker that is still starting is no news.
    client = AdminClient({"bootstrap.servers": address, "broker.address.family": "v4", "log_level": 0})
    try:
        brokers = client.list_topics(timeout=2).brokers
    except KafkaException as error:
        return str(error)
    return "" if brokers else "no broker in its metadata"


SERVERS = (
    Server(
        name="kafka",
        address=lambda host, port: f"{host}:{port}",
        why_silent=why_silent,
        command=_command,
        container=_container,
        ports=2,
    ),
)
