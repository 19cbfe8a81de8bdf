"""
Encrypted connections to real servers, with a certificate that is right and with each kind of one that is wrong.

A certificate that is not checked, or whose refusal is taken for a server that is away, is found by whoever reads along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from meepo2_cdc.capture.binlog.connection import connect
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import Context, TryAgain
from meepo2_connectors import elasticsearch_sync, redis_replicator, sql_replicator
from tests.proxy import Proxy
from tests.scenes import FULL_METADATA, MakeScene, Server
from tests.security.certificates import KINDS, Certificates, Pem
from tests.services import addresses, native, running

WRONG = KINDS[1:]
CONTEXT = Context("tls", lambda: NoRows())


class NoRows:
    """The source is another matter."""

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def refused(call: Callable[[], object]) -> None:
    """Whatever the client library tells of it, it is the certificate that a person must look at."""
    with pytest.raises((ConfigError, TryAgain)) as raised:
        call()
    assert "certificate" in str(raised.value), raised.value


# -- the source


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def source(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[native.PrivateServer]:
    """It takes the certificate that it is shown by `present`."""
    directory = tmp_path_factory.mktemp(request.param)
    pem = certificates.of("good")
    for name, file in (("ca", certificates.ca), ("cert", pem.certificate), ("key", pem.key)):
        (directory / f"{name}.pem").write_bytes(file.read_bytes())
    options = [*FULL_METADATA, *(f"ssl_{name}={directory / name}.pem" for name in ("ca", "cert", "key"))]
    with getattr(native, request.param)(directory, options) as server:
        yield server


def present(server: native.PrivateServer, pem: Pem) -> None:
    (server.directory / "cert.pem").write_bytes(pem.certificate.read_bytes())
    (server.directory / "key.pem").write_bytes(pem.key.read_bytes())
    asked = Server(server.dsn)
    asked.run("FLUSH SSL" if asked.flavor == "mariadb" else "ALTER INSTANCE RELOAD TLS")


def settings(server: native.PrivateServer, certificates: Certificates, mode: str, **more: Any) -> SourceSettings:
    return SourceSettings(dsn=SecretStr(server.dsn), tls_mode=mode, tls_ca=certificates.ca, **more)


@pytest.mark.parametrize("kind", WRONG)
def test_a_source_with_a_wrong_certificate_is_refused(
    source: native.PrivateServer, certificates: Certificates, kind: str
):
    present(source, certificates.of(kind))
    refused(lambda: connect(settings(source, certificates, "verify_identity")))
    if kind == "of another host":
        connect(settings(source, certificates, "verify_ca")).close()


def test_a_capture_with_a_client_certificate(
    source: native.PrivateServer, certificates: Certificates, make_scene: MakeScene
):
    """Questions, the dump and the question for what is committed are three connections: each needs the certificate."""
    present(source, certificates.of("good"))
    scene = make_scene(Server(source.dsn))
    user = scene.account()
    scene.server.run(f"ALTER USER '{user}'@'127.0.0.1' REQUIRE X509")
    scene.log_in_as(user)
    scene.settings |= {"MEEPO2_SOURCE_TLS_MODE": "verify_identity", "MEEPO2_SOURCE_TLS_CA": str(certificates.ca)}
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    without = scene.once()
    assert without.code == 2, without.err
    pem = certificates.of_client()
    scene.settings |= {
        "MEEPO2_SOURCE_TLS_CERT": str(pem.certificate),
        "MEEPO2_SOURCE_TLS_KEY": str(pem.key),
    }
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]


# -- targets


@pytest.mark.parametrize("kind", KINDS)
def test_redis(certificates: Certificates, tmp_path: Path, kind: str):
    pem = certificates.of(kind)
    (port,) = running.ports(certificates.directory, 1)
    options = {
        "tls-port": str(port),
        "tls-cert-file": str(pem.certificate),
        "tls-key-file": str(pem.key),
        "tls-ca-cert-file": str(certificates.ca),
        "tls-auth-clients": "no",
    }
    with native.redis(tmp_path, options):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates.ca}&ssl_check_hostname=true"
        own = redis_replicator.connector.settings(url=url)
        opened(lambda: redis_replicator.connector.sink(own, CONTEXT), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_postgresql(certificates: Certificates, tmp_path: Path, kind: str):
    pem = certificates.of(kind)
    options = {"ssl": "on", "ssl_cert_file": str(pem.certificate), "ssl_key_file": str(pem.key)}
    tmp_path.chmod(0o755)
    with native.postgres(tmp_path, options) as server:
        url = f"{server.url}?sslmode=verify-full&sslrootcert={certificates.ca}"
        own = sql_replicator.connector.settings(target_url=SecretStr(url))
        opened(lambda: sql_replicator.connector.sink(own, CONTEXT), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_elasticsearch(certificates: Certificates, kind: str):
    """Its minimal build has no TLS of its own, so that a terminator is before it, as in many a deployment."""
    server = urlsplit(addresses.address("elasticsearch") or "")
    with Proxy(str(server.hostname), server.port or 0, tls=certificates.of(kind).context) as proxy:
        own = elasticsearch_sync.connector.settings(urls=[f"https://127.0.0.1:{proxy.port}"], ca_file=certificates.ca)
        opened(lambda: elasticsearch_sync.connector.sink(own, CONTEXT), kind)


def opened(make: Callable[[], Any], kind: str) -> None:
    sink = make()
    if kind != "good":
        refused(sink.open)
        return
    sink.open()
    sink.close()


# -- Kafka


@pytest.fixture(scope="module")
def encrypted_kafka(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Its addresses by the certificate that is shown there."""
    with ExitStack() as stack:
        proxies = {
            kind: stack.enter_context(Proxy("127.0.0.1", 0, tls=certificates.of(kind).context)) for kind in KINDS
        }
        directory = tmp_path_factory.mktemp("kafka")
        server = stack.enter_context(native.kafka(directory, proxies["good"].port, {}))
        for proxy in proxies.values():
            proxy.target = "127.0.0.1", server.proxied_port
        yield {kind: f"127.0.0.1:{proxy.port}" for kind, proxy in proxies.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_kafka(
    own_mysql: Server, make_scene: MakeScene, encrypted_kafka: dict[str, str], certificates: Certificates, kind: str
):
    scene = make_scene(own_mysql)
    scene.settings |= {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": encrypted_kafka[kind],
        "MEEPO2_KAFKA_SECURITY_PROTOCOL": "SSL",
        "MEEPO2_KAFKA_SSL_CA_LOCATION": str(certificates.ca),
    }
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    outcome = scene.once()
    if kind == "good":
        assert outcome.code == 0, outcome.err
        printed = scene.command("replay", "--from-offset", "earliest", "--json")
        assert '"pk": [1]' in printed.out, printed.err
    else:
        assert outcome.code in (1, 2), outcome.err
        assert "certificate" in outcome.err


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "OAUTHBEARER"])
def test_accounts_of_kafka(own_mysql: Server, make_scene: MakeScene, tmp_path: Path, mechanism: str):
    """The usual ways to log in; the password is in a file, as Kubernetes has it."""
    scene = make_scene(own_mysql)
    with native.kafka(tmp_path, 0, {}) as server:
        admin = AdminClient({"bootstrap.servers": server.address})
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion("cdc", credential, b"of-a-test")
        admin.alter_user_scram_credentials([change])["cdc"].result(30)
        rights = [
            AclBinding(
                kind, name, ResourcePatternType.PREFIXED, "User:cdc", "*", AclOperation.ALL, AclPermissionType.ALLOW
            )
            for kind, name in ((ResourceType.TOPIC, scene.prefix), (ResourceType.TRANSACTIONAL_ID, scene.prefix))
        ]
        for done in admin.create_acls(rights).values():
            done.result(30)
        scene.settings |= {
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": server.account_address,
            "MEEPO2_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "MEEPO2_KAFKA_SASL_MECHANISM": mechanism,
            **(_OF_SCRAM if mechanism.startswith("SCRAM") else _OF_TOKENS),
        }
        scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
        scene.caught_up()
        wrong = _WRONG_PASSWORD if mechanism.startswith("SCRAM") else _WRONG_ACCOUNT
        outcome = scene.once(**wrong)
        assert outcome.code == 2, outcome.err


_OF_SCRAM = {"MEEPO2_KAFKA_SASL_USERNAME": "cdc", "MEEPO2_KAFKA_SASL_PASSWORD": "of-a-test"}
_WRONG_PASSWORD = {"MEEPO2_KAFKA_SASL_PASSWORD": "another"}
_OF_TOKENS = {
    "MEEPO2_KAFKA_ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true",
    "MEEPO2_KAFKA_SASL_OAUTHBEARER_CONFIG": "principal=cdc",
}
_WRONG_ACCOUNT = {"MEEPO2_KAFKA_SASL_OAUTHBEARER_CONFIG": "principal=nobody"}
