"""
The settings: which there are, what they mean, and how they come together.

Flags win over `MEEPO2_*` variables, those over the TOML file, that over the defaults; the result is frozen.
Knows nothing of who uses a setting; where settings are read is in config_sources.py.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from meepo2_cdc.config_sources import Given as Given
from meepo2_cdc.config_sources import Layout, Name, from_environment, from_file, merged
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.source_address import SourceAddress, parse_dsn, read_secret

MIB = 1 << 20


def _topic_characters(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text) or text in {".", ".."}:
        raise ValueError("expected characters that a Kafka topic may have: letters, digits, '.', '_' and '-'")
    return text


def _comma_separated(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    return tuple(part.strip() for part in given.split(",") if part.strip())


def _tables_in_json(given: Any) -> Any:
    """In a variable, tables of TOML are written as JSON."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ValueError(f"expected a JSON list of objects: {error}") from error


def _table_globs(globs: tuple[str, ...]) -> tuple[str, ...]:
    if not globs:
        raise ValueError("expected at least one schema.table pattern")
    for glob in globs:
        if not re.fullmatch(r"!?[^!.]+\..+", glob):
            raise ValueError(f"{glob!r} is no schema.table pattern, such as 'shop.*' or '!shop.audit_*'")
    return globs


def _template(text: str) -> str:
    for literal, name, spec, conversion in string.Formatter().parse(text):
        if literal.strip("."):  # between two parts a dot may stand alone
            _topic_characters(literal)
        if name is not None and (name not in {"prefix", "schema", "table"} or spec or conversion):
            raise ValueError(f"'{{{name}}}' is unknown; expected {{prefix}}, {{schema}} and {{table}}")
    return text


def _http_url(text: str) -> str:
    if not re.match(r"https?://.", text):
        raise ValueError("expected an address that begins with http:// or https://")
    return text


TableGlobs = Annotated[tuple[str, ...], BeforeValidator(_comma_separated), AfterValidator(_table_globs)]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
TopicPart = Annotated[str, AfterValidator(_topic_characters)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
TlsMode = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class SourceSettings(_Frozen):
    """The server whose changes are captured."""

    dsn: SecretStr | None = None
    """Address of the server: mysql://user:password@host:port/ (also mysql+pymysql:// and mariadb://), each
    part percent-encoded; a database in it is not looked at, see tables. Secret."""
    dsn_file: Path | None = None
    """File that holds the dsn, in place of it."""
    name: TopicPart = "db"
    """Name of the source: part of the checkpoint topic and of the transactional id, so unique under a prefix
    and never changed."""
    server_id: int | None = Field(default=None, ge=1, le=2**32 - 1)
    """Replica number with which the capture registers; no other replica of the server may have it. Chosen
    from the prefix and the source's name unless given."""
    password_file: Path | None = None
    """File that holds the password, where the dsn has none."""
    tls_mode: TlsMode = "preferred"
    """Encryption of the connection to the server: disabled; preferred, encrypted if the server can; required;
    verify_ca, the certificate is checked; verify_identity, the host name too."""
    tls_ca: Path | None = None
    """PEM file of the authorities that may have signed the server's certificate; the system's unless
    given."""
    tls_cert: Path | None = None
    """PEM file of the client's certificate, given together with tls_key."""
    tls_key: Path | None = None
    """PEM file of the client's key."""
    connect_timeout_seconds: Seconds = 10
    """Time in which a connection to the server must be made."""
    heartbeat_seconds: Seconds = 5
    """Interval at which an idle server is asked to send a sign of life; without one the connection is made
    anew."""

    assume_present_keys: bool = False
    """Where the log does not say what a table's key was (binlog_row_metadata is not FULL) and the table was altered
    since: take the key that it has now, as long as its columns fit, instead of stopping. Right only if the key did
    not change."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> SourceSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("source.tls_cert and source.tls_key are given together or not at all")
        return self

    @property
    def address(self) -> SourceAddress:
        """Host, port, user and password; raises ConfigError when there is no usable dsn."""
        if self.dsn is not None:
            return parse_dsn(self.dsn.get_secret_value(), "source.dsn", self.password_file)
        if self.dsn_file is not None:
            return parse_dsn(read_secret(self.dsn_file, "source.dsn_file"), "source.dsn_file", self.password_file)
        raise ConfigError(
            "source.dsn is not set, so there is no server to read from",
            fix="Set MEEPO2_SOURCE_DSN=mysql://user:password@host:3306/ , or [source] dsn_file in the file.",
        )


class RowsSettings(_Frozen):
    """Tables whose rows are published beside their keys."""

    tables: TableGlobs
    """Patterns of schema.table, as in tables."""
    columns: Names = ("*",)
    """Which columns: names with * and ?, and names that begin with ! for those left out."""
    mask: Names = ()
    """Columns whose values are published as ***, nulls as null."""
    hash: Names = ()
    """Columns whose values are published as their HMAC-SHA256 in hexadecimal, nulls as null."""
    hash_key_file: Path | None = None
    """File that holds the key for hash."""
    oversize: Literal["fail", "key-only", "dead-letter"] = "fail"
    """What happens to a row whose values, before and after together, have more than max_bytes: fail ends the capture
    with exit code 5; key-only publishes it without them; dead-letter puts that into the topic
    <prefix>.rows.dead-letters instead."""
    max_bytes: int = Field(default=900_000, ge=1)
    """Most bytes of a row's values. Kafka takes records of 1,000,000 unless message.max.bytes is raised, in [kafka] and
    of the topic."""

    @model_validator(mode="after")
    def _key_of_hash(self) -> RowsSettings:
        if bool(self.hash) != (self.hash_key_file is not None):
            raise ValueError("hash and hash_key_file are given together or not at all")
        return self


class CaptureSettings(_Frozen):
    """The capture service."""

    start: str = "latest"
    """Where a capture without a checkpoint begins: latest, earliest, FILE:POSITION, a GTID set, an ISO time, or
    snapshot, which is latest with the rows that all captured tables have already."""
    commit_interval_ms: int = Field(default=100, ge=1)
    """Longest time that a busy stream collects records before they are committed; an idle one commits at
    once."""
    commit_rows: int = Field(default=10_000, ge=1)
    """Most rows in one Kafka transaction."""
    commit_bytes: int = Field(default=8 * MIB, ge=1)
    """Most bytes in one Kafka transaction."""
    idle_checkpoint_seconds: Seconds = 10
    """Interval of checkpoints while only changes go by that the table filter drops."""
    reconnect_seconds: float = Field(default=300, ge=0, allow_inf_nan=False)
    """How long a lost server is tried again before the capture ends with an error."""
    expected_downtime_seconds: Seconds = 86_400
    """Longest time that the capture may be away for, a night or a weekend: `check` and the start say when the source
    keeps its log for less."""
    on_unreadable: Literal["stop", "skip"] = "stop"
    """What happens at an event that cannot be read: stop ends the capture with exit code 5; skip counts it,
    names it in the log and goes on."""
    rows: Annotated[tuple[RowsSettings, ...], BeforeValidator(_tables_in_json)] = ()
    """Tables whose rows are published too, each `[[capture.rows]]` in the file with settings of its own, of which the
    first that means a table counts: tables, columns, mask, hash, hash_key_file, oversize, max_bytes. In a variable a
    JSON list of such objects."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port at which metrics, probes and the status page are served; not served unless given."""
    metrics_host: str = "127.0.0.1"
    """Address at which they are served; 0.0.0.0 or :: for all of the machine's. There is no login: who may connect
    may read names of tables, topics and groups, never rows or secrets."""
    metrics_tables: int = Field(default=100, ge=0)
    """How many tables get a label of their own in the metrics, those that are met first; the others count as
    `other`."""
    live_seconds: Seconds = 180
    """Time without a move of the main loop after which /livez fails. A commit may take two minutes by itself."""


class TopicsSettings(_Frozen):
    """The data topics, as they are created. Existing topics are left as they are."""

    template: Annotated[str, AfterValidator(_template)] = "{prefix}.{schema}.{table}"
    """Name of a table's topic, of {prefix}, {schema} and {table}; without {table} several tables share a
    topic."""
    partitions: int = Field(default=4, ge=1)
    """Number of partitions of a new topic. Changing it later moves keys to other partitions."""
    replication_factor: int = Field(default=-1, ge=-1)
    """Copies of each partition; -1 is the broker's default."""
    cleanup_policy: Literal["delete", "compact", "compact,delete"] = "delete"
    """What the broker removes: delete, records past retention; compact, all but the last record of each
    key."""
    retention_ms: int = Field(default=-1, ge=-1)
    """Age at which records are removed, measured from the commit on the source; -1 is never."""

    @field_validator("replication_factor")
    @classmethod
    def _not_none_at_all(cls, factor: int) -> int:
        if factor == 0:
            raise ValueError("expected -1 (the broker's default) or at least 1")
        return factor


class RunSettings(_Frozen):
    """The running of connectors: consumer applications that replay the topics."""

    group: TopicPart | None = None
    """Consumer group; processes that share one share the partitions. The prefix and the connector's name unless
    given."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group begins that has no offsets yet."""
    workers: int = Field(default=4, ge=1, le=256)
    """Threads that apply records, each with keys of its own."""
    batch_records: int = Field(default=500, ge=1)
    """Most records that a sink is given at once."""
    records_in_flight: int = Field(default=20_000, ge=1)
    """Most records that are read and not yet applied; reading waits while there are so many."""
    tries: int = Field(default=10, ge=0)
    """How often a record that failed by itself is tried again before it becomes a dead letter. A target that is away
    as a whole is tried for as long as it takes."""
    retry_seconds: Seconds = 0.1
    """Delay before the first new try; doubled at each further one, the half of it at random."""
    retry_max_seconds: Seconds = 30
    """Longest delay between two tries."""
    on_failure: Literal["dead-letter", "stop"] = "dead-letter"
    """What happens to a record that cannot be read or applied: dead-letter sets it aside and goes on; stop ends the
    process, and the next start begins with that record."""
    commit_interval_ms: int = Field(default=1000, ge=1)
    """Interval at which the offsets of applied records are committed."""
    stop_seconds: Seconds = 20
    """How long a stop, or a partition's move to another process, waits for what is being applied."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port at which metrics, probes and the status page are served; not served unless given."""
    metrics_host: str = "127.0.0.1"
    """Address at which they are served; 0.0.0.0 or :: for all of the machine's. There is no login."""
    live_seconds: Seconds = 180
    """Time without a move of the main loop after which /livez fails."""


class SessionSettings(_Frozen):
    """SQLAlchemy sessions that publish, the relay of their outbox, and the recovery of direct delivery."""

    name: TopicPart = "session"
    """Name of the source in the records: part of the checkpoint topic and of the relay's transactional id, so unique
    under a prefix and never changed."""
    delivery: Literal["outbox", "direct"] = "outbox"
    """outbox: records are written to a table by the same transaction, and the relay moves them, exactly once; direct:
    the application itself sends them behind the commit, at least once."""
    bulk: Literal["capture", "warn", "refuse"] = "capture"
    """What happens at a statement that changes rows without objects: capture takes the keys and refuses a statement
    whose keys cannot be had; warn lets such a statement go on, named in the log and counted; refuse refuses all."""
    default_schema: str | None = None
    """Schema in the records of tables that name none; the connection's own unless given."""
    dsn: SecretStr | None = None
    """Address of the database for relay and recover, as SQLAlchemy writes it: postgresql+psycopg://user@host/database.
    Secret."""
    dsn_file: Path | None = None
    """File that holds the dsn, in place of it."""
    outbox_table: str = "meepo2_outbox"
    """Table of the outbox, its schema in front if need be."""
    batch_rows: int = Field(default=500, ge=1)
    """Most rows of the outbox, each of one flush, in one Kafka transaction."""
    poll_ms: int = Field(default=100, ge=1)
    """Interval at which an empty outbox is looked at."""
    reconnect_seconds: float = Field(default=300, ge=0, allow_inf_nan=False)
    """How long a lost database is tried again before the relay ends with an error."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port at which the relay's metrics, probes and status page are served; not served unless given."""
    metrics_host: str = "127.0.0.1"
    """Address at which they are served; 0.0.0.0 or :: for all of the machine's. There is no login."""
    live_seconds: Seconds = 600
    """Time without a move of the relay's loop after which /livez fails; a database that is away is waited for within
    one (reconnect_seconds)."""
    redis_url: SecretStr | None = None
    """Redis that holds what is in doubt, redis://host:6379/0, for direct delivery. Secret."""
    namespace: str = "meepo2"
    """First part of the names in Redis."""
    marker_table: str = "meepo2_transactions"
    """Table in which a transaction leaves its id, by which a recovery knows that it was committed."""
    strict: bool = False
    """Whether a transaction fails that cannot be recorded in Redis; if not, its marker holds its changes instead."""
    timeout_seconds: Seconds = 1
    """Longest time that Redis and Kafka together may hold up a transaction; what is not sent by then is sent later."""
    settle_seconds: Seconds = 10
    """Age at which a recovery looks at what is in doubt."""
    keep_markers_seconds: Seconds = 600
    """Age at which the markers of settled transactions are removed."""


class Settings(_Frozen):
    """Everything that can be set."""

    prefix: TopicPart = "meepo2"
    """First part of every topic's name and of the transactional id."""
    tables: TableGlobs = ("*.*",)
    """Which tables: patterns of schema.table with * and ?, and patterns that begin with ! for those left
    out. In a variable or a flag they are separated by commas. Tables named like the copies of gh-ost and
    pt-online-schema-change (`_*_gho`, `_*_ghc`, `_*_del`, `_*_new`, `_*_old`) are captured only where a pattern's table
    begins with `_` too."""
    schema_registry_url: Annotated[str, AfterValidator(_http_url)] | None = Field(default=None, repr=False)
    """Address of a schema registry, http://user:password@host:port; records are framed for it when it is
    given."""
    source: SourceSettings = SourceSettings()
    capture: CaptureSettings = CaptureSettings()
    topics: TopicsSettings = TopicsSettings()
    run: RunSettings = RunSettings()
    session: SessionSettings = SessionSettings()
    kafka: dict[str, str] = Field(default={"bootstrap.servers": "localhost:9092"}, repr=False)
    """Options of librdkafka, passed through; MEEPO2_KAFKA_SASL_PASSWORD is sasl.password."""


_SECTIONS: dict[str, type[BaseModel]] = {
    "source": SourceSettings,
    "capture": CaptureSettings,
    "topics": TopicsSettings,
    "run": RunSettings,
    "session": SessionSettings,
}
CONNECTORS = "meepo2_cdc.connectors"
"""The entry-point group in which connectors are found; each has the section of its name."""

LAYOUT = Layout(
    top=tuple(name for name in Settings.model_fields if name not in {*_SECTIONS, "kafka"}),
    sections={name: tuple(model.model_fields) for name, model in _SECTIONS.items()},
    replaces={
        ("source", "dsn"): ("source", "dsn_file"),
        ("source", "dsn_file"): ("source", "dsn"),
        ("session", "dsn"): ("session", "dsn_file"),
        ("session", "dsn_file"): ("session", "dsn"),
    },
    foreign=lambda: frozenset(one.name for one in entry_points(group=CONNECTORS)),
)
_SECRET = {("source", "dsn"), ("session", "dsn"), ("session", "redis_url"), ("schema_registry_url",)}
Own = TypeVar("Own", bound=BaseModel)


def load(
    flags: Iterable[Given] = (), config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """
    The settings in force; raises ConfigError for whatever is unknown or out of range.

    `config` is the file of the flag; without it MEEPO2_CONFIG names one.
    """
    return _settings(_given(flags, config, environment, LAYOUT))


def load_with(
    name: str, own: type[Own], flags: Iterable[Given] = (), config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Settings, Own]:  # fmt: skip
    """The settings, and those of the connector `name` as its model `own`; a secret may be given as a file."""
    secret = {f"{field}_file": field for field, info in own.model_fields.items() if _is_secret(info.annotation)}
    pairs: dict[Name, Name] = {(name, file): (name, field) for file, field in secret.items()}
    layout = replace(
        LAYOUT,
        sections={**LAYOUT.sections, name: (*own.model_fields, *secret)},
        replaces={**LAYOUT.replaces, **pairs, **{field: file for file, field in pairs.items()}},
    )
    given = _given(flags, config, environment, layout)
    theirs = {pairs.get(path, path): _read_in(one, pairs) for path, one in given.items() if path[0] == name}
    settings = _settings({path: one for path, one in given.items() if path[0] != name})
    return settings, _validated(own, {path[1]: one.value for path, one in theirs.items()}, theirs, (name,))


def _read_in(one: Given, files: Mapping[Name, Name]) -> Given:
    """The setting itself; its file's content where it is the name of one."""
    if one.path not in files:
        return one
    return replace(one, path=files[one.path], value=read_secret(Path(str(one.value)), one.origin))


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _given(
    flags: Iterable[Given], config: Path | None, environment: Mapping[str, str] | None, layout: Layout
) -> dict[Name, Given]:
    environment = os.environ if environment is None else environment
    path = config or (Path(environment["MEEPO2_CONFIG"]) if environment.get("MEEPO2_CONFIG") else None)
    file = from_file(path, layout, environment) if path else []
    return merged(layout, file, from_environment(environment, layout), list(flags))


def _settings(given: Mapping[Name, Given]) -> Settings:
    tree: dict[str, Any] = {"kafka": dict(Settings.model_fields["kafka"].default)}
    for path, one in given.items():
        place = tree if len(path) == 1 else tree.setdefault(path[0], {})
        place[path[-1]] = one.value
    return _validated(Settings, tree, given)


def _validated(
    model: type[Own], tree: Mapping[str, Any], given: Mapping[Name, Given], under: tuple[str, ...] = ()
) -> Own:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        complaints = (_complaint({**one, "loc": (*under, *one["loc"])}, given) for one in error.errors())
        raise ConfigError("\n".join(complaints)) from None


def _complaint(error: Any, given: Mapping[Name, Given]) -> str:
    path = tuple(str(part) for part in error["loc"])
    one = given.get(path[:2]) or given.get(path[:1])
    why = str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    if one is None:
        return f"{'.'.join(path)} is not set" if error["type"] == "missing" else why
    secret = one.path in _SECRET or one.path[0] == "kafka" or one.path[0] not in {*_SECTIONS, *LAYOUT.top}
    found = "" if secret else f" is {one.value!r}"
    return f"{one.origin}{found}: {why}"
