"""
The metrics there are, in one place.

Names end in their unit; labels never hold a key.  Gauges that change by themselves (lags, ages) are asked for their
value when they are scraped, so that nobody need set them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from meepo2_cdc.records import Action

OTHER = "other"
"""No table has that name: theirs have a dot."""
_COMMIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

RECORDS = Counter("meepo2_cdc_records", "Records committed to Kafka, by table and action.", ["table", "action"])
COMMITS = Counter("meepo2_cdc_commits", "Kafka transactions committed.")
COMMIT_SECONDS = Histogram(
    "meepo2_cdc_commit_seconds", "Time from a Kafka transaction's beginning to its commit.", buckets=_COMMIT_BUCKETS
)
TRANSACTIONS = Counter(
    "meepo2_cdc_source_transactions", "Transactions read from the source's log, also those without a captured row."
)
ROWS_EVENTS_SKIPPED = Counter(
    "meepo2_cdc_rows_events_skipped", "Rows events passed over, by table and reason.", ["table", "reason"]
)
EVENTS_UNREADABLE = Counter(
    "meepo2_cdc_events_unreadable", "Log events passed over because they cannot be read.", ["event_type"]
)
ROWS_LEFT_OUT = Counter(
    "meepo2_cdc_rows_left_out", "Rows published without their values since they are too large.", ["table", "policy"]
)
ACTIVE = Gauge("meepo2_cdc_active", "1 in the instance that captures or relays, 0 in one that starts or stands by.")
SOURCE_CONNECTED = Gauge(
    "meepo2_cdc_source_connected", "1 while the source's log is followed, 0 while it is lost or silent."
)
SOURCE_LAG = Gauge(
    "meepo2_cdc_source_lag_seconds",
    "How far Kafka is behind the source: 0 when all that the source has sent is committed, else the age of the last"
    " change that is; it grows while the source is away.  NaN before the first.",
)
SOURCE_BEHIND = Gauge(
    "meepo2_cdc_source_behind_bytes",
    "Bytes between the last checkpoint and the end of the source's log, asked for twice a minute.",
)
RETENTION_LEFT = Gauge(
    "meepo2_cdc_source_retention_left_seconds",
    "Time until the source may purge the log file in which the last checkpoint is, at the least; +Inf where it never"
    " does by itself, 0 when the file is gone.  Asked for twice a minute.",
)
RECONNECTS = Counter("meepo2_cdc_source_reconnects", "Times the connection to the source was made anew.")
PRODUCERS_REPLACED = Counter("meepo2_cdc_producers_replaced", "Times the producer was replaced after a slow commit.")
SEQ = Gauge("meepo2_cdc_checkpoint_seq", "seq of the last committed record.")
CHECKPOINT_AGE = Gauge(
    "meepo2_cdc_checkpoint_age_seconds",
    "Time since the last checkpoint was committed; it grows while a source has nothing new.",
)
COMMITTED_AT = Gauge(
    "meepo2_cdc_source_committed_timestamp_seconds", "When the source committed what was read last, unix time."
)
QUEUE = Gauge("meepo2_cdc_queue_records", "Records that were read and are not yet committed, or not yet applied.")
SNAPSHOT_ROWS = Counter("meepo2_cdc_snapshot_rows", "Existing rows that were read and are done.")
SNAPSHOT_CHUNKS = Counter("meepo2_cdc_snapshot_chunks", "Chunks of existing rows that were given out.")
SNAPSHOT_CHUNKS_DISCARDED = Counter(
    "meepo2_cdc_snapshot_chunks_discarded", "Chunks that were asked for once more, by why.", ["reason"]
)
SNAPSHOT_CHUNK_SECONDS = Histogram("meepo2_cdc_snapshot_chunk_seconds", "Time in which the source gave a chunk.")
SNAPSHOT_TABLES_WAITING = Gauge(
    "meepo2_cdc_snapshot_tables_waiting", "Tables whose snapshot is not over, the one that is read among them."
)
SNAPSHOT_TABLE_DONE = Gauge(
    "meepo2_cdc_snapshot_table_done_ratio", "How much is done of the table that is read, by the server's estimate."
)

RECORDS_APPLIED = Counter("meepo2_cdc_records_applied", "Records that a connector made durable.", ["connector"])
APPLY_SECONDS = Histogram("meepo2_cdc_apply_seconds", "Time that a sink took for a batch.", ["connector"])
RETRIES = Counter("meepo2_cdc_apply_retries", "Times that a batch or a key had to be tried again.", ["connector"])
DEAD_LETTERS = Counter("meepo2_cdc_dead_letters", "Records that were set aside.", ["connector"])
TARGET_READY = Gauge("meepo2_cdc_target_ready", "1 while the connector's target takes records, 0 while it is away.")
CONSUMER_LAG = Gauge(
    "meepo2_cdc_consumer_lag_records", "Offsets between what was committed and the end, of this process's partitions."
)

SESSION_STATEMENTS_UNSEEN = Counter(
    "meepo2_cdc_session_statements_unseen", "Statements of sessions whose rows were not published.", ["table"]
)
SESSION_TRANSACTIONS_LATE = Counter(
    "meepo2_cdc_session_transactions_late", "Committed transactions that were not published within their timeout."
)
SESSION_TRANSACTIONS_SETTLED = Counter(
    "meepo2_cdc_session_transactions_settled",
    "Transactions in doubt that were settled, by what they were.",
    ["outcome"],
)

Counts = Mapping[str, Mapping[Action, int]]
"""Records by table and action."""


class TableLabels:
    """
    Tables as label values: so many by name, in the order in which they are met, and all further ones as `other`.

    Each value is a time series for as long as the process lives, and a server may have a hundred thousand tables.
    """

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self._named: set[str] = set()

    def of(self, table: str) -> str:
        if table in self._named:
            return table
        if len(self._named) >= self.most:
            return OTHER
        self._named.add(table)
        return table


TABLES = TableLabels()
"""Shared by all metrics that have a table, so that a table is named in all of them or in none."""


def count_records(counts: Counts) -> None:
    """Once a batch."""
    for table, actions in counts.items():
        label = TABLES.of(table)
        for action, count in actions.items():
            if count:
                RECORDS.labels(label, action.value).inc(count)


def values(metric: MetricWrapperBase) -> Iterator[tuple[dict[str, str], float]]:
    """A counter's or a gauge's values by their labels."""
    for found in metric.collect():
        yield from ((one.labels, one.value) for one in found.samples if not one.name.endswith("_created"))


def total(metric: MetricWrapperBase) -> float:
    """Over all labels."""
    return sum(value for _, value in values(metric))


Role = Literal["capture", "relay", "run"]
_TO_KAFKA = {RECORDS, COMMITS, COMMIT_SECONDS, ACTIVE, PRODUCERS_REPLACED, SEQ, COMMITTED_AT}
_CONSUMED = {QUEUE, RECORDS_APPLIED, APPLY_SECONDS, RETRIES, DEAD_LETTERS, TARGET_READY, CONSUMER_LAG}
_SESSIONS = {SESSION_STATEMENTS_UNSEEN, SESSION_TRANSACTIONS_LATE, SESSION_TRANSACTIONS_SETTLED}
_EVERY = {one for one in list(globals().values()) if isinstance(one, MetricWrapperBase)}
_OF: Mapping[Role, set[MetricWrapperBase]] = {
    "capture": _EVERY - _CONSUMED - _SESSIONS | {QUEUE},
    "relay": _TO_KAFKA,
    "run": _CONSUMED | _SESSIONS,  # an application may do both
}


def family(metric: MetricWrapperBase) -> str:
    """The name as it is in # TYPE lines."""
    return next(iter(metric.describe())).name


class RoleMetrics(Collector):
    """
    All that is registered in this process, but for what only other roles have.

    A gauge nobody sets would say 0: that a connector's source is lost, or that a capture's target is away.
    """

    def __init__(self, role: Role, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._hidden = {family(one) for one in _EVERY - _OF[role]}

    def collect(self) -> Iterable[Metric]:
        return (one for one in self._registry.collect() if one.name not in self._hidden)


def registry_of(role: Role) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(RoleMetrics(role))
    return registry
