"""
The connector `webhook` as it is installed: its settings, TLS, the command, and what kills do to it.
"""

from __future__ import annotations

import ipaddress
import os
import random
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.testing import Changes
from meepo2_connectors.webhook import connector as installed
from meepo2_connectors.webhook.settings import Settings
from meepo2_connectors.webhook.sink import WebhookSink
from tests.acceptance import tutorial
from tests.command import Running, until
from tests.connectors import telling
from tests.connectors.http_endpoint import Answer, Endpoint, Request, always, opened, sink_for, started, told_keys
from tests.connectors.load import Load, faults_in
from tests.scenes import Scene
from tests.services import running

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    with started(tmp_path) as one:
        yield one


# -- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed one of 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "endpoint")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + made.public_bytes(form))
    return path


def test_a_certificate_is_checked(endpoint: Endpoint, certificate: Path) -> None:
    """Whoever is in the way could otherwise read, and acknowledge, all changes."""
    endpoint.stop()
    endpoint.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    endpoint.tls.load_cert_chain(certificate)
    endpoint.start()
    with pytest.raises(ConfigError, match=r"(?s)is not trusted.*webhook\.tls_ca"):
        sink_for(endpoint).open()
    with opened(endpoint, tls_ca=certificate) as sink:
        sink.apply([Changes().write(1)])
    assert told_keys(endpoint) == [1]


def test_tls_files_that_cannot_be_used_end_the_start(endpoint: Endpoint, tmp_path: Path) -> None:
    """They would be missed at the first record only."""
    with pytest.raises(ConfigError, match=r"webhook\.tls_ca"):
        sink_for(endpoint, tls_ca=tmp_path / "none.pem").open()


# -- the settings


@pytest.mark.parametrize(
    "given",
    [
        {"URL": "ftp://host/t0ken"},
        {"URL": "http:///t0ken"},
        {"URL": "https://host:port/t0ken"},
        {"URL": "https://host/t0ken x"},
        {"HEADERS": "t0ken"},
        {"HEADERS": '{"X-Y": "t0ken\\n"}'},
        {"HEADERS": '{"X Y": "t0ken"}'},
        {"HEADERS": '{"content-type": "t0ken"}'},
        {"TLS_CERT": "t0ken.pem"},
        {},
    ],
)
def test_settings_that_cannot_work_are_refused_and_not_repeated(given: dict[str, str]) -> None:
    """An address may hold a token, and messages are read by many."""
    url = {} if "URL" in given or not given else {"MEEPO2_WEBHOOK_URL": "https://host/"}
    environment = {**url, **{f"MEEPO2_WEBHOOK_{name}": value for name, value in given.items()}}
    with pytest.raises(ConfigError) as caught:
        load_with("webhook", Settings, environment=environment)
    assert "webhook" in str(caught.value).lower()
    assert "t0ken" not in str(caught.value)


def test_messages_name_the_host_only(tmp_path: Path) -> None:
    """The path of many a webhook is its password."""
    port = running.ports(tmp_path, 1)[0]
    url = SecretStr(f"http://user:passw0rd@127.0.0.1:{port}/t0ken?key=s3cret")
    with pytest.raises(TryAgain) as caught:
        WebhookSink(Settings(url=url), "shop").open()
    assert caught.value.why.startswith(f"http://127.0.0.1:{port} did not answer")
    assert not any(word in caught.value.why for word in ("passw0rd", "t0ken", "s3cret"))


def test_the_example_is_accepted() -> None:
    """What people copy first must work."""
    given = {"WEBHOOK_SECRET": "s", "WEBHOOK_TOKEN": "t"}
    _, own = load_with("webhook", Settings, config=telling.CONNECTORS / "webhook" / "example.toml", environment=given)
    assert own.headers["Authorization"].get_secret_value() == "Bearer t"
    assert not installed.coalesce


# -- the installed command


def test_the_tutorial_reaches_the_endpoint_of_the_readme(scene: Scene, tmp_path: Path) -> None:
    """Both programs as the README shows them, signature and all."""
    telling.capture_tutorial(scene)
    port = running.ports(tmp_path, 1)[0]
    (program,) = telling.shown("webhook", "python")
    listening = Running(("-uc", program.replace("8080", str(port))), {}, (sys.executable,))
    try:
        with telling.example(scene, "webhook", tmp_path, replaced={"8080": str(port)}) as posting:
            until(lambda: listening.printed.count("\n") >= len(tutorial.CHANGES), "a line for each change")
            ended = posting.stop()
        assert ended.code == 0, ended.err
    finally:
        listening.kill()
    lines = [f"meepo2.cdc.{action} {scene.database}.test/{pk[0]}" for action, pk in tutorial.CHANGES]
    assert sorted(listening.printed.splitlines()) == sorted(lines)


def test_kills_and_bad_answers_lose_nothing_and_keep_the_order(kafka: str, prefix: str, endpoint: Endpoint) -> None:
    """
    kill -9 of the connector at random moments, an endpoint that goes away, and answers that get lost: each change is
    told, and none of a key before an earlier one.
    """
    dice = random.Random(SEED)  # noqa: S311 - moments, not secrets
    settings = {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_KAFKA_GROUP_INSTANCE_ID": "one", "MEEPO2_PREFIX": prefix,
        "MEEPO2_WEBHOOK_URL": endpoint.url, "MEEPO2_WEBHOOK_EVENTS_PER_REQUEST": "20",
        "MEEPO2_RUN_RETRY_MAX_SECONDS": "0.5",
    }  # fmt: skip
    endpoint.answers = _moody(random.Random(SEED + 1))  # noqa: S311
    with Load(kafka, prefix, SEED) as load:
        for number in range(4 + int(SECONDS / 5)):
            with _connector(settings) as one:
                _wait_for_events(endpoint, dice.randint(1, 600))
                if number % 2:
                    endpoint.stop()
                    one.wait_for("did not answer")
                    endpoint.start()
                    _wait_for_events(endpoint, dice.randint(1, 200))
        load.stop()
        endpoint.answers = always(Answer())
        with _connector(settings) as last:
            wanted = {one.seq for one in load.written}
            until(lambda: {event["data"]["seq"] for event in list(endpoint.told)} >= wanted, "every change")
            assert last.stop().code == 0
    told = [(tuple(event["data"]["pk"]), event["data"]["seq"]) for event in endpoint.told]
    assert faults_in(load.written, told) == []


def _moody(dice: random.Random) -> Callable[[Request], Answer]:
    """Mostly well; else too busy, or gone before or after it heard."""
    kinds = [
        Answer(),
        Answer(503),
        Answer(429, (("Retry-After", "0"),)),
        Answer(breaks=True),
        Answer(hears=False, breaks=True),
    ]
    return lambda _: dice.choices(kinds, [90, 3, 2, 3, 2])[0]


@contextmanager
def _connector(settings: dict[str, str]) -> Iterator[Running]:
    one = Running(["run", "webhook"], settings)
    try:
        yield one
    finally:
        one.kill()


def _wait_for_events(endpoint: Endpoint, more: int) -> None:
    wanted = len(endpoint.told) + more
    until(lambda: len(endpoint.told) >= wanted, f"{more} more events")
