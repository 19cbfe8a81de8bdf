"""
compose.yaml: what Docker makes of it, and what the program makes of its settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest
import redis as redis_client
import yaml
from compose_spec import PyCompose
from sqlalchemy.engine import make_url

from tests.command import Running, until
from tests.release import dockerfile
from tests.scenes import Server
from tests.services import kafka as kafka_service


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """As Docker reads it: a key that it does not know is refused here too."""
    merged = yaml.safe_load((dockerfile.REPOSITORY / "compose.yaml").read_text())
    read = PyCompose.from_yaml(json.dumps(merged))
    read.to_spec()
    assert read.to_dict().keys() == merged.keys() - {"x-meepo2-cdc", "x-settings"} | {"x-meepo2-cdc", "x-settings"}
    return dict(merged)


@dataclass(frozen=True, slots=True)
class Ours:
    """A service of our image: the command's arguments and its variables."""

    arguments: list[str]
    variables: dict[str, str]


def ours(compose: dict[str, Any], **addresses: str) -> dict[str, Ours]:
    """The services of our image, each name of another service replaced by the address it has here."""
    found = {}
    for name, service in compose["services"].items():
        if "build" in service:
            text = json.dumps({key: str(value) for key, value in service["environment"].items()})
            for there, here in addresses.items():
                assert there in text or there not in service.get("depends_on", {})
                text = text.replace(there, here)
            found[name] = Ours(service["command"], json.loads(text))
    return found


def test_the_services_are_those_that_are_known_to_work(compose: dict[str, Any]) -> None:
    """The demo is the first thing that anybody tries, and runs on servers that tests run on too."""
    services = compose["services"]
    assert set(services) == {"mariadb", "kafka", "redis", "capture", "replicator", "customer"}
    assert services["kafka"]["image"] == f"apache/kafka:{kafka_service.VERSION}"
    assert services["redis"]["image"] == "redis:7"
    waited_for = {name for service in services.values() for name in service.get("depends_on", {})}
    built = {name for name, service in services.items() if "build" in service}
    assert {name for name in waited_for - built if "healthcheck" not in services[name]} == set()
    for name in built:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


@pytest.fixture
def shop(compose: dict[str, Any], mariadb: Server) -> Iterator[Server]:
    """A server with what the demo's server begins with."""
    _execute(mariadb, compose["configs"]["shop"]["content"])
    yield mariadb
    mariadb.run("DROP DATABASE shop", "DROP USER 'cdc'@'%'")


def _execute(server: Server, statements: str) -> None:
    database = None if "CREATE DATABASE" in statements else "shop"
    server.run(*filter(None, map(str.strip, statements.split(";"))), database=database)


def test_the_demo_replicates_what_the_customer_buys(
    compose: dict[str, Any], shop: Server, kafka: str, redis_url: str, prefix: str
) -> None:
    """The settings of the demo are run here as they stand, but for addresses and the names of topics and keys."""
    target = make_url(redis_url)
    addresses = {
        "mariadb:3306": f"{shop.host}:{shop.port}", "kafka:9092": kafka, "redis:6379": f"{target.host}:{target.port}",
    }  # fmt: skip
    own = {
        "MEEPO2_PREFIX": prefix,
        "MEEPO2_REDIS_REPLICATOR_NAMESPACE": prefix,
        "MEEPO2_CAPTURE_START": shop.executed(),
    }
    _execute(shop, compose["configs"]["buy"]["content"])
    services = ours(compose, **addresses)
    assert set(services) == {"capture", "replicator"}
    running = [Running(one.arguments, {**one.variables, **own}) for one in services.values()]
    try:
        _execute(shop, compose["configs"]["buy"]["content"])
        with redis_client.Redis.from_url(redis_url) as client:

            def stock() -> list[int]:
                assert all(one.runs for one in running), "\n".join(one.said for one in running)
                return [int(client.hget(f"{prefix}:shop.product:{key}", "stock") or -1) for key in range(1, 4)]

            # What was never bought is not in the log that is read.
            kept = {row["id"]: row["stock"] for row in shop.ask("SELECT id, stock FROM shop.product")}
            expected = [stock if stock < 100_000 else -1 for _, stock in sorted(kept.items())]
            until(lambda: stock() == expected, f"stock of {expected} in Redis")
            until(lambda: client.exists(*(f"{prefix}:shop.sale:{key}" for key in (1, 2))) == 2, "both sales in Redis")
        assert [one.stop().code for one in running] == [0, 0]
    finally:
        for one in running:
            one.kill()


def test_the_account_of_the_demo_may_no_more_than_it_needs(shop: Server) -> None:
    """Whoever copies the demo copies its grants."""
    demo = Server(shop.dsn_of("cdc", "cdc"))
    granted = str(demo.ask("SHOW GRANTS"))
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        demo.run("DELETE FROM shop.sale")
    assert "ALL PRIVILEGES" not in granted
