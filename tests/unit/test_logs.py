"""
What the log, complaints, metrics and the status page say, and what they never say.
"""

from __future__ import annotations

import io
import json
import logging
import string
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, get_args
from urllib.parse import quote

import click
import pytest
import structlog
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from pydantic import BaseModel, SecretStr

from meepo2_cdc.cli import options
from meepo2_cdc.cli.main import Commands, cli
from meepo2_cdc.config import CONNECTORS, SessionSettings, Settings, SourceSettings, load
from meepo2_cdc.config_secrets import secrets_in
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.observe import logs, page, recent, redaction
from meepo2_cdc.observe.content import Content
from meepo2_cdc.observe.sections import recent_troubles
from meepo2_cdc.observe.vitals import Health


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged, in place of stderr; everything is as it was afterwards."""
    text = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level, structlog.get_config()
    monkeypatch.setattr(logs, "_Stderr", lambda: text)
    monkeypatch.setattr(logs, "_identity", {})
    redaction.forget()
    yield text
    redaction.forget()
    logging.captureWarnings(False)
    logging.getLogger().handlers, config = before[0], before[2]
    logging.getLogger().setLevel(before[1])
    structlog.configure(**config)


def lines(said: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


# -- lines


def test_each_event_is_one_line_of_json_with_what_tells_processes_apart(said: io.StringIO):
    """Collectors take lines; a trouble of one of twenty processes is found by whose it is."""
    logs.set_up("INFO", "json")
    logs.identify(service="capture", prefix="shop", source="db")
    try:
        raise ValueError("one\ntwo")
    except ValueError:
        structlog.get_logger().error("A thing failed", table="a.b", count=3, exc_info=True)
    (found,) = lines(said)
    assert {"event": "A thing failed", "level": "error", "table": "a.b", "count": 3}.items() <= found.items()
    assert {"service": "capture", "prefix": "shop", "source": "db"}.items() <= found.items()
    assert "instance" in found
    assert "ValueError: one" in found["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_cannot_end_a_line_and_begin_another(said: io.StringIO, form: logs.Format):
    """Whoever may create a table could write lines into the log that look like the program's."""
    logs.set_up("INFO", form)
    hostile = "a\n2026-01-01T00:00:00Z [error] The disk is full\r\x1b[31m\x9b"
    structlog.get_logger().info("A table was met", table=hostile, many=[hostile], more={"of": hostile})
    assert len(said.getvalue().splitlines()) == 1
    assert not set(said.getvalue().rstrip("\n")) & set(map(chr, (*range(32), *range(127, 160))))


def test_what_libraries_log_comes_the_same_way(said: io.StringIO):
    """A line in another form is lost by whoever parses them, and may hold a secret."""
    logs.set_up("INFO", "json")
    redaction.hide(["very-secret"])
    logging.getLogger("their.client").warning("no answer from http://u:very-secret@host")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old very-secret thing", stacklevel=1)
    logging.getLogger("their.client").info("of no interest")
    first, second = lines(said)
    assert first["event"] == "no answer from http://u:***@host"
    assert first["logger"] == "their.client"
    assert "old *** thing" in second["event"]


def test_the_page_has_the_last_troubles_and_nothing_else(said: io.StringIO, monkeypatch: pytest.MonkeyPatch):
    """A page of a hundred lines of normal work hides the one that matters."""
    monkeypatch.setattr(logs, "RECENT", recent.Recent(2))
    logs.set_up("INFO", "text")
    for number in range(3):
        structlog.get_logger().warning("A thing was odd", number=number)
    structlog.get_logger().info("A thing was normal")
    found = logs.RECENT.lines()
    assert [(one.level, one.event, one.facts) for one in found] == [
        ("warning", "A thing was odd", "number=2"),
        ("warning", "A thing was odd", "number=1"),
    ]


# -- secrets

SECRET_CHARACTERS = string.ascii_letters + string.digits + "@%:/?#&=+ '\"\\<>$!é漢"
secret_texts = st.text(st.sampled_from(SECRET_CHARACTERS), min_size=12, max_size=40).filter(
    lambda text: text == text.strip() and len(set(text)) >= 6
)


def _spelled(secret: str) -> list[str]:
    """As anybody may show it; each of at least a few characters that nothing else would have."""
    return [secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1]]


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _secret_variables() -> dict[str, Callable[[str], str]]:
    """Every secret setting that there is, by its variable, and how a secret is put into it."""
    found: dict[str, Callable[[str], str]] = {
        "MEEPO2_KAFKA_SASL_PASSWORD": str,
        "MEEPO2_KAFKA_SSL_KEY_PASSWORD": str,
        "MEEPO2_KAFKA_SSL_KEY_PEM": str,
        "MEEPO2_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": str,
        "MEEPO2_SCHEMA_REGISTRY_URL": lambda secret: f"http://user:{quote(secret, safe='')}@127.0.0.1:1/",
    }
    for section, model in (("source", SourceSettings), ("session", SessionSettings)):
        found |= {f"MEEPO2_{section}_{name}".upper(): _as_dsn for name in _secrets_of(model)}
    return found


def _secrets_of(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if _is_secret(field.annotation)]


def _as_dsn(secret: str) -> str:
    return f"mysql://user:{quote(secret, safe='')}@127.0.0.1:1/"


def _connectors() -> Iterator[tuple[str, type[BaseModel], str]]:
    for entry in entry_points(group=CONNECTORS):
        if entry.dist is not None and entry.dist.name == "meepo2-cdc":
            own = entry.load().settings
            yield from ((entry.name, own, name) for name in _secrets_of(own))


def everything_said(said: io.StringIO, secret: str, models: Mapping[str, BaseModel]) -> str:
    """All outputs there are, made to speak of everything: settings, errors of ours and of libraries, log, page."""
    redaction.forget()
    redaction.hide(secrets_in(*models.values()))
    said.truncate(0)
    logs.RECENT._lines.clear()
    logs.set_up("DEBUG", "json")
    log, complaint = structlog.get_logger(), ""
    for name, model in models.items():
        log.debug("These are the settings", **{name: model}, fields=dict(model), shown=str(model), repr=repr(model))
    for text in _spelled(secret):
        try:
            raise Error(f"the target says: bad login with {text}", fix=f"look at {text}")
        except Error as error:
            log.warning("A target complained", why=str(error), exc_info=True)
            complaint += _complained(error)
        logging.getLogger("their.client").error("POST http://u:%s@h/", text)
    shown = page.pieces_of(Health("running", 0.0), Content("", [], [recent_troubles()]), [], 1.0)
    return said.getvalue() + complaint + json.dumps(shown, ensure_ascii=False) + generate_latest().decode()


class Alone(Commands):
    """The real root of the command line, with a command of the test in the place of all others."""

    def __init__(self, command: click.Command) -> None:
        super().__init__("root", params=cli.params, callback=cli.callback)
        self.command = command

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return self.command


def _complained(error: Error) -> str:
    """What the command line makes of it, with its traceback."""

    @click.command()
    def failing() -> None:
        raise error

    outcome = CliRunner().invoke(Alone(failing), ["--debug", "failing"])
    assert "meepo2-cdc: the target says" in outcome.output
    assert "Traceback" in outcome.output
    return outcome.output


def assert_silent(output: str, secret: str) -> None:
    """Also of any part of a secret that is long enough to be told from chance."""
    for text in _spelled(secret):
        assert text not in output


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret_texts, st.data())
def test_no_secret_setting_is_in_any_output(said: io.StringIO, secret: str, data: st.DataObject):
    """Logs, tickets and screenshots are read by people who may not log in to the database."""
    variables = _secret_variables()
    variable = data.draw(st.sampled_from(sorted(variables)))
    found = load(environment={variable: variables[variable](secret)})
    assert secret in secrets_in(found), variable
    assert_silent(everything_said(said, secret, {"settings": found}), secret)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret_texts, st.sampled_from(list(_connectors())))
def test_no_secret_of_a_connector_is_in_any_output(
    said: io.StringIO, secret: str, one: tuple[str, type[BaseModel], str]
):
    """Theirs are passwords of other systems, of other teams."""
    _, model, field = one
    value = f"redis://user:{quote(secret, safe='')}@127.0.0.1:1/0" if field in ("url", "dsn") else secret
    own = model.model_construct(**{field: SecretStr(value)})
    assert secret in secrets_in(own), one
    assert_silent(everything_said(said, secret, {"own": own}), secret)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret_texts, st.sampled_from(["source", "session"]))
def test_a_secret_in_a_file_is_as_secret(said: io.StringIO, tmp_path_factory: pytest.TempPathFactory, secret: str,
                                         section: str):  # fmt: skip
    """Kubernetes mounts them so."""
    path = tmp_path_factory.mktemp("secret") / "dsn"
    path.write_text(f"{_as_dsn(secret)}\n", encoding="utf-8")
    found = load(environment={f"MEEPO2_{section.upper()}_DSN_FILE": str(path)})
    assert_silent(everything_said(said, secret, {"settings": found}), secret)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret_texts, st.sampled_from(["{}", "postgres://u:{}@h", "mysql://u:{}@h:port/", "mysql://{}", "//{}@"]), st.data()
)
def test_settings_that_are_refused_do_not_quote_secrets(secret: str, form: str, data: st.DataObject):
    """The first error is made when nothing is known yet of what is secret."""
    variable = data.draw(st.sampled_from(sorted(_secret_variables())))
    given_ = {variable: form.format(secret), "MEEPO2_CAPTURE_START": "", "MEEPO2_SOURCE_SERVER_ID": "none"}
    try:
        load(environment=given_).source.address  # noqa: B018 - it is what parses the dsn
    except ConfigError as error:
        assert_silent(str(error), secret)


def test_the_user_of_an_address_is_no_secret():
    """`postgres:postgres@` is in every tutorial; its word must not be taken out of all lines."""
    found = load(environment={"MEEPO2_SESSION_DSN": "postgresql://postgres:postgres@db1/shop"})
    assert "postgres" not in secrets_in(found)


def test_commands_hide_what_they_are_given(monkeypatch: pytest.MonkeyPatch):
    """Hiding is of use only if it is begun before anything else is done."""
    redaction.forget()
    monkeypatch.setenv("MEEPO2_SOURCE_DSN", "mysql://u:such-a-secret@h/")

    @click.command()
    @options.settings_options()
    def speaking(settings: Settings) -> None:
        raise Error("it was such-a-secret")

    outcome = CliRunner().invoke(Alone(speaking), ["speaking"])
    redaction.forget()
    assert "it was ***" in outcome.output
