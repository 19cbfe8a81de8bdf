"""Settings: which layer wins, and that whatever is wrong is refused by name without showing a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from meepo2_cdc.config import Given, Settings, load
from meepo2_cdc.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meepo2.toml"


def refusal(*, config: Path | None = None, flags: list[Given] | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags or [], config, environment).source.address  # noqa: B018 - reading it is what may fail
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_without_anything_the_defaults_hold():
    """A default that moves unnoticed renames topics, and a capture finds no checkpoint."""
    settings = load(environment={})
    assert settings == Settings()
    assert (settings.prefix, settings.tables, settings.source.name) == ("meepo2", ("*.*",), "db")
    assert settings.kafka == {"bootstrap.servers": "localhost:9092"}
    assert settings.topics.template == "{prefix}.{schema}.{table}"


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(file: Path):
    """The other way round, an override typed in an emergency does nothing."""
    file.write_text('prefix = "file"\n[source]\nname = "file"\nserver_id = 7\n')
    environment = {"MEEPO2_PREFIX": "variable", "MEEPO2_SOURCE_NAME": "variable"}
    settings = load([Given(("prefix",), "flag", "--prefix")], file, environment)
    assert (settings.prefix, settings.source.name, settings.source.server_id) == ("flag", "variable", 7)


def test_a_variable_names_the_file(file: Path):
    """A container that is only given MEEPO2_CONFIG would run with defaults."""
    file.write_text('prefix = "shop"\n')
    assert load(environment={"MEEPO2_CONFIG": str(file)}).prefix == "shop"


def test_settings_cannot_be_changed_afterwards():
    """A setting changed while running is in no checkpoint and no log."""
    with pytest.raises(ValidationError):
        load(environment={}).prefix = "other"  # type: ignore[misc]


def test_tables_in_a_variable_are_separated_by_commas():
    """One pattern 'a.*,!a.b' would match no table, and nothing would be captured."""
    settings = load(environment={"MEEPO2_TABLES": "shop.*, !shop.audit_* ,"})
    assert settings.tables == ("shop.*", "!shop.audit_*")


@pytest.mark.parametrize("text", ["orders", "shop.", "!", ".orders", ",", "!!shop.a"])
def test_a_table_pattern_without_schema_and_table_is_refused(text: str):
    """It would match nothing, in silence."""
    assert "MEEPO2_TABLES" in refusal(MEEPO2_TABLES=text)


@pytest.mark.parametrize("prefix", ["a b", "shop/eu", "größe", ".."])
def test_a_prefix_that_no_topic_can_have_is_refused(prefix: str):
    """The broker would refuse each topic, after the capture has started."""
    message = refusal(MEEPO2_PREFIX=prefix)
    assert "MEEPO2_PREFIX" in message
    assert repr(prefix) in message


@pytest.mark.parametrize("template", ["{prefix}.{tabel}", "{prefix} {table}", "{prefix!r}", "{0}"])
def test_a_topic_template_with_unknown_parts_is_refused(template: str):
    """All tables would end in one topic, or in none."""
    assert "MEEPO2_TOPICS_TEMPLATE" in refusal(MEEPO2_TOPICS_TEMPLATE=template)


@pytest.mark.parametrize("template", ["{prefix}.{schema}.{table}", "{prefix}.{schema}.all", "{prefix}.all", "one"])
def test_a_topic_template_may_have_dots_between_its_parts(template: str):
    """Whoever writes down the default, or one topic for a schema, would not get a capture at all."""
    assert load(environment={"MEEPO2_TOPICS_TEMPLATE": template}).topics.template == template


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEEPO2_SOURCE_SERVER_ID", "0"),
        ("MEEPO2_SOURCE_SERVER_ID", str(2**32)),
        ("MEEPO2_CAPTURE_COMMIT_ROWS", "many"),
        ("MEEPO2_CAPTURE_COMMIT_INTERVAL_MS", "0"),
        ("MEEPO2_CAPTURE_ON_UNREADABLE", "ignore"),
        ("MEEPO2_SOURCE_CONNECT_TIMEOUT_SECONDS", "inf"),
        ("MEEPO2_TOPICS_REPLICATION_FACTOR", "0"),
        ("MEEPO2_TOPICS_CLEANUP_POLICY", "keep"),
        ("MEEPO2_CAPTURE_METRICS_PORT", "70000"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_variable(variable: str, value: str):
    """A message without the name sends the reader through three files."""
    message = refusal(**{variable: value})
    assert message.startswith(f"{variable} is {value!r}")


def test_all_wrong_values_are_named_at_once():
    """One at a time means a restart for each."""
    message = refusal(MEEPO2_PREFIX="a b", MEEPO2_CAPTURE_COMMIT_ROWS="x")
    assert len(message.splitlines()) == 2


def test_an_unknown_setting_in_the_file_is_refused_with_the_nearest_name(file: Path):
    """A misspelled setting that is ignored is a default that nobody chose."""
    file.write_text("[source]\nheartbeat_second = 3\n")
    first, where = refusal(config=file).splitlines()
    assert first == "[source] has no setting 'heartbeat_second'; did you mean 'heartbeat_seconds'?"
    assert str(file) in where


def test_an_unknown_setting_in_a_variable_is_refused_with_the_nearest_name():
    """As in the file."""
    first, where = refusal(MEEPO2_SOURCE_HEARTBEAT_SECOND="3").splitlines()
    assert first == "[source] has no setting 'heartbeat_second'; did you mean 'heartbeat_seconds'?"
    assert "MEEPO2_SOURCE_HEARTBEAT_SECOND" in where


def test_a_setting_in_the_wrong_section_is_told_where_it_belongs(file: Path):
    """'Unknown' alone does not tell a moved setting from a removed one."""
    file.write_text("[capture]\nheartbeat_seconds = 3\n")
    assert "did you mean 'heartbeat_seconds' of [source]?" in refusal(config=file)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("prefx = 'a'", "did you mean 'prefix'?"),
        ("[sources]\nname = 'a'", "did you mean 'source'?"),
        ("source = 'mysql://'", "write [source]"),
        ("kafka = 'localhost'", "write [kafka]"),
    ],
)
def test_an_unknown_name_at_the_top_of_the_file_is_refused(file: Path, text: str, hint: str):
    """A whole section under a wrong name would be ignored."""
    file.write_text(text)
    assert hint in refusal(config=file)


def test_a_misspelled_variable_at_the_top_is_refused():
    """MEEPO2_PREFX=shop would capture into the topics of meepo2."""
    assert "did you mean MEEPO2_PREFIX?" in refusal(MEEPO2_PREFX="shop")


def test_variables_that_are_no_settings_are_left_alone():
    """Kubernetes sets MEEPO2_CAPTURE_PORT for a service named meepo2-capture; the capture must start all the same."""
    settings = load(
        environment={
            "MEEPO2_TEST_KAFKA": "x",
            "MEEPO2_DEBUG": "1",
            "MEEPO2_CAPTURE_PORT": "tcp://10.0.0.1:80",
            "MEEPO2_CAPTURE_SERVICE_HOST": "10.0.0.1",
            "MEEPO2_CAPTURE_PORT_80_TCP_ADDR": "10.0.0.1",
            "MEEPO2_KAFKA_PORT_9092_TCP": "tcp://10.0.0.1:9092",
            "MEEPO2_KAFKA_SERVICE_PORT_CLIENTS": "9092",
            "MEEPO2_CAPTURE_METRICS_PORT": "9000",
        }
    )
    assert settings.capture.metrics_port == 9000
    assert settings.kafka == {"bootstrap.servers": "localhost:9092"}


def test_an_empty_variable_counts_as_not_set():
    """A compose file passes unset variables on as empty ones."""
    assert load(environment={"MEEPO2_PREFIX": "", "MEEPO2_SOURCE_SERVER_ID": ""}) == Settings()


def test_librdkafka_options_pass_through_from_every_layer(file: Path):
    """Without sasl or ssl options most clusters cannot be reached at all."""
    file.write_text(
        '[kafka]\nbootstrap.servers = "a:1"\n"security.protocol" = "sasl_ssl"\nenable.idempotence = true\n'
        "linger.ms = 5\n[kafka.sasl]\nmechanisms = 'PLAIN'\n"
    )
    settings = load(config=file, environment={"MEEPO2_KAFKA_SASL_PASSWORD": "x", "MEEPO2_KAFKA_LINGER_MS": "9"})
    assert settings.kafka == {
        "bootstrap.servers": "a:1",
        "security.protocol": "sasl_ssl",
        "enable.idempotence": "true",
        "linger.ms": "9",
        "sasl.mechanisms": "PLAIN",
        "sasl.password": "x",
    }


def test_the_file_takes_values_from_the_environment(file: Path):
    """Secrets written into the file end in a repository."""
    file.write_text('[kafka]\nsasl.password = "${PASSWORD}-$${x}"\n')
    assert load(config=file, environment={"PASSWORD": "p"}).kafka["sasl.password"] == "p-${x}"


def test_a_variable_that_the_file_wants_and_nobody_set_is_named(file: Path):
    """An empty password instead would be a puzzling refusal by the server."""
    file.write_text('[source]\ndsn = "mysql://cdc:${NO_SUCH}@db/"\n')
    message = refusal(config=file)
    assert "${NO_SUCH}" in message
    assert "[source] dsn" in message


@pytest.mark.parametrize("text", ["prefix = ", "prefix = 'a'\nprefix = 'b'", "[source"])
def test_a_file_that_is_not_toml_is_refused_with_the_place(file: Path, text: str):
    """Half a file read is half the settings."""
    file.write_text(text)
    message = refusal(config=file)
    assert str(file) in message
    assert "(at " in message


def test_a_file_that_is_not_there_is_refused(file: Path):
    """A wrong path would otherwise mean the defaults."""
    assert str(file) in refusal(config=file)


@pytest.mark.parametrize(
    ("dsn", "host", "port", "user", "password"),
    [
        ("mysql://cdc:secret@db1:3307/", "db1", 3307, "cdc", "secret"),
        ("mysql+pymysql://cdc@db1", "db1", 3306, "cdc", ""),
        ("mariadb://cdc:p%40ss%2Fw%3A%25@10.0.0.1/", "10.0.0.1", 3306, "cdc", "p@ss/w:%"),
        ("mysql://c%40x:a@[::1]:3306/?charset=utf8mb4", "::1", 3306, "c@x", "a"),
    ],
)
def test_a_dsn_gives_host_port_user_and_password(dsn: str, host: str, port: int, user: str, password: str):
    """A password with an @ that is not decoded locks the account after some tries."""
    address = load(environment={"MEEPO2_SOURCE_DSN": dsn}).source.address
    assert (address.host, address.port, address.user, address.password) == (host, port, user, password)


def test_a_missing_dsn_is_refused_only_by_who_needs_it():
    """replay needs no server, and must work where none is configured."""
    settings = load(environment={})
    with pytest.raises(ConfigError, match=r"source.dsn is not set"):
        settings.source.address  # noqa: B018


@pytest.mark.parametrize(
    ("dsn", "hint"),
    [
        ("postgresql://cdc:hunter2@db1/", "unsupported scheme 'postgresql'"),
        ("hunter2", "is no DSN"),
        ("mysql://cdc:hunter2@db1:port/", "is no DSN"),
        ("mysql://cdc:hun@ter2@db1/", "%40"),
        ("mysql:///", "no readable user and host"),
        ("mysql://cdc:hunter2@db1/?ssl_ca=x", "ssl_ca"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_without_showing_it(dsn: str, hint: str):
    """A message goes to logs and tickets; the password must not."""
    message = refusal(MEEPO2_SOURCE_DSN=dsn)
    assert hint in message
    assert "hunter2" not in message
    assert "ter2" not in message


def test_secrets_are_in_no_repr(file: Path):
    """A settings object in a traceback or a debug log is read by many."""
    file.write_text('schema_registry_url = "http://u:hunter2@r"\n[kafka]\nsasl.password = "hunter2"\n')
    settings = load(config=file, environment={"MEEPO2_SOURCE_DSN": "mysql://cdc:hunter2@db1/"})
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.source.address)
    assert "hunter2" not in repr(Given(("source", "dsn"), "hunter2", "--source-dsn"))


def test_secrets_come_from_files(tmp_path: Path):
    """Kubernetes and Docker mount secrets as files, with a line end behind them."""
    (tmp_path / "dsn").write_text("mysql://cdc@db1/\n")
    (tmp_path / "password").write_text("se cret\r\n")
    environment = {
        "MEEPO2_SOURCE_DSN_FILE": str(tmp_path / "dsn"),
        "MEEPO2_SOURCE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    address = load(environment=environment).source.address
    assert (address.host, address.password) == ("db1", "se cret")


def test_two_passwords_are_refused(tmp_path: Path):
    """Which of them holds would be a guess."""
    (tmp_path / "password").write_text("a")
    message = refusal(MEEPO2_SOURCE_DSN="mysql://cdc:b@db1/", MEEPO2_SOURCE_PASSWORD_FILE=str(tmp_path / "password"))
    assert "keep one" in message


def test_a_dsn_replaces_the_dsn_file_of_an_earlier_layer(file: Path):
    """Else the override is refused, or loses."""
    file.write_text('[source]\ndsn_file = "/nowhere"\n')
    assert load(config=file, environment={"MEEPO2_SOURCE_DSN": "mysql://cdc@db1/"}).source.address.host == "db1"


def test_a_secret_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path):
    """An empty password instead would be a puzzling refusal by the server."""
    missing = tmp_path / "missing"
    assert str(missing) in refusal(MEEPO2_SOURCE_DSN="mysql://cdc@db1/", MEEPO2_SOURCE_PASSWORD_FILE=str(missing))


def test_half_a_client_certificate_is_refused():
    """The connection would be made without it."""
    assert "source.tls_key" in refusal(MEEPO2_SOURCE_TLS_CERT="/a.pem")


def test_every_setting_says_what_it_means():
    """The reference page is made of these words."""
    sections = [Settings.model_fields[name].annotation for name in ("source", "capture", "topics")]
    fields = [*Settings.model_fields.items()] + [
        field
        for section in sections
        for field in section.model_fields.items()  # type: ignore[union-attr]
    ]
    silent = [name for name, field in fields if not field.description]
    assert silent == ["source", "capture", "topics", "run", "session"]  # described by their own classes


def test_a_database_in_a_dsn_is_not_looked_at():
    """The DSNs that people have name one; refusing them would only send people to edit secrets."""
    address = load(environment={"MEEPO2_SOURCE_DSN": "mysql://cdc:hunter2@db1/shop"}).source.address
    assert (address.host, address.port, address.user, address.password) == ("db1", 3306, "cdc", "hunter2")
