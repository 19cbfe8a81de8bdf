"""
The settings that the chart renders are those that the program reads.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from meepo2_cdc.config import CONNECTORS, Settings, load
from meepo2_cdc.replay.connectors import Chosen, choose
from tests.helm import chart

OF_SECRETS = {
    "cdc-source/dsn": "mysql://cdc:hidden@db1:3306/",
    "cache/url": "redis://:hidden@cache:6379/0",
    "jobs/url": "redis://:hidden@jobs:6379/1",
    "reports/url": "postgresql://app:hidden@reports/app",
    "search/api-key": "aGlkZGVu",
    "hooks/url": "https://hooks.example.com/hidden",
    "hooks/signing-key": "hidden",
    "hooks/headers": '{"X-Tenant": "hidden"}',
    "kafka/user": "cdc",
    "kafka/password": "hidden",
}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Reads the settings of a pod as the program does when it starts there."""

    def loaded(pod: chart.Pod) -> Settings | Chosen:
        file = tmp_path / "settings.toml"
        file.write_text(pod.settings)
        variables = {name: OF_SECRETS[key] for name, key in pod.secrets.items()}
        for name in [name for name in os.environ if name.startswith("MEEPO2_")]:
            monkeypatch.delenv(name)
        for name, value in {**pod.variables, **variables, "MEEPO2_CONFIG": str(file)}.items():
            monkeypatch.setenv(name, value)
        return load() if pod.arguments[0] == "capture" else choose(pod.arguments[1])

    return loaded


@pytest.mark.parametrize("name", chart.VALUES)
def test_every_pod_starts_with_the_settings_that_it_is_given(name: str, start: Any) -> None:
    """What the program refuses is seen as a pod that restarts for ever, after the old one was taken away."""
    values = {
        **yaml.safe_load((chart.CHART / "values.yaml").read_text()),
        **yaml.safe_load(chart.VALUES[name].read_text()),
    }
    for pod in chart.pods(chart.objects(chart.text(name))):
        read = start(pod)
        settings = read.settings if isinstance(read, Chosen) else read
        served = settings.run if isinstance(read, Chosen) else settings.capture
        assert settings.kafka["bootstrap.servers"] == values["settings"]["kafka"]["bootstrap.servers"]
        assert (served.metrics_host, served.metrics_port) == (
            values["http"].get("host", "0.0.0.0"), values["http"].get("port", 9090)  # noqa: S104
        )  # fmt: skip


def test_settings_of_one_pod_do_not_leak_into_another_and_arrive_as_they_were_written(start: Any) -> None:
    """A number that arrives as 20000.0, or a table filter of the neighbour, is found out in production."""
    pods = {pod.name: pod for pod in chart.pods(chart.objects(chart.text("connectors")))}
    assert set(pods) == {f"consumers-{name}" for name in (
        "cache", "event-store", "reports", "elasticsearch-sync", "zmq", "nanomsg", "statsd", "rq", "webhook",
        "receivers",
    )}  # fmt: skip
    cache, reports, webhook = (start(pods[f"consumers-{name}"]) for name in ("cache", "reports", "webhook"))

    assert cache.settings.kafka["socket.timeout.ms"] == "20000"
    assert cache.settings.kafka["enable.ssl.certificate.verification"] == "true"
    assert cache.settings.kafka["sasl.password"] == "hidden"
    assert (cache.settings.run.workers, cache.settings.run.retry_seconds) == (8, 0.25)
    assert cache.settings.source.tls_mode == "verify_identity"
    assert cache.own.expire_seconds == 604800
    assert cache.settings.tables == ("shop.*", "!shop.tmp_*")

    assert reports.settings.tables == ("shop.user", "shop.order")
    assert reports.own.tables == {"shop.user": "public.users"}
    assert reports.own.columns == {"shop.user": {"userId": "user_id", "password": ""}}
    assert reports.settings.run.workers == Settings().run.workers

    assert webhook.settings.source.dsn is None
    assert webhook.own.secret.get_secret_value() == "hidden"


def test_whole_rows_are_those_of_the_tables_that_were_named(start: Any) -> None:
    """A column that should be masked, and is not since its list was written otherwise, is out for good."""
    pods = {pod.name: pod for pod in chart.pods(chart.objects(chart.text("production")))}
    rows = start(pods["shop-cdc-capture"]).capture.rows
    assert [(one.tables, one.mask, one.max_bytes) for one in rows] == [
        (("shop.user",), ("email", "phone"), rows[0].max_bytes), (("shop.order",), (), 100_000),
    ]  # fmt: skip


def test_only_pods_that_name_a_secret_are_given_it() -> None:
    """A connector that posts to the internet has no business with the source's password."""
    given = {pod.name: set(pod.secrets.values()) for pod in chart.pods(chart.objects(chart.text("connectors")))}
    assert given["consumers-statsd"] == {"kafka/user", "kafka/password"}
    assert {name for name, secrets in given.items() if "cdc-source/dsn" in secrets} == {
        "consumers-cache", "consumers-reports", "consumers-elasticsearch-sync",
    }  # fmt: skip


def secret_settings() -> list[str]:
    """Every setting of the program that is secret, as `section.name`, and those of Kafka's that are."""
    models: dict[str, type[BaseModel]] = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    models |= {one.name: one.load().settings for one in entry_points(group=CONNECTORS) if _is_ours(one.value)}
    found = [
        f"{section}.{name}"
        for section, model in models.items()
        for name, field in model.model_fields.items()
        if _is_secret(field.annotation)
    ]
    return [
        *found,
        "kafka.sasl.password",
        "kafka.ssl.key.password",
        "kafka.ssl.keystore.password",
        "schema_registry_url",
    ]


def _is_ours(value: str) -> bool:
    return value.startswith("meepo2_connectors.")


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(one) for one in get_args(annotation))


@pytest.mark.parametrize("place", ["settings", "env"])
def test_a_secret_among_the_settings_is_refused(place: str) -> None:
    """Everybody who may read a ConfigMap, or Helm's own record of the values, would have the password."""
    told = {setting: chart.template(_with(setting, place)).err for setting in secret_settings()}
    assert len(told) > 10
    assert [setting for setting, said in told.items() if "is a secret" not in said or "hunter2" in said] == []


def _with(setting: str, place: str) -> str:
    values: dict[str, Any] = yaml.safe_load(chart.VALUES["capture"].read_text())
    secret = "scheme://user:hunter2@host/" if setting.endswith(("dsn", "url")) else "hunter2"
    if setting == "webhook.url":
        secret = "https://host/hunter2"  # noqa: S105
    section, _, name = setting.rpartition(".") if not setting.startswith("kafka.") else setting.partition(".")
    if place == "env":
        values["defaults"] = {"env": {f"MEEPO2_{setting.replace('.', '_').upper()}": secret}}
    elif section:
        values["settings"].setdefault(section, {})[name] = secret
    else:
        values["settings"][name] = secret.replace("scheme", "http")
    return yaml.safe_dump(values)


def test_an_address_may_stand_among_the_settings_without_its_password(start: Any, tmp_path: Path) -> None:
    """Who reads where the source is should not have to be let into the Secret."""
    (tmp_path / "password").write_text("hidden")
    values = yaml.safe_load(chart.VALUES["capture"].read_text())
    values["settings"]["source"] = {"dsn": "mysql://cdc@db1:3306/", "password_file": str(tmp_path / "password")}
    values["capture"] = {"secretFiles": {"source": {"existingSecret": "cdc-source"}}}
    (pod,) = chart.pods(chart.objects(chart.template(yaml.safe_dump(values)).out))
    assert start(pod).source.address.password == (tmp_path / "password").read_text()
