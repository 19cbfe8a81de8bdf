"""
The metrics there are, in one place.

Names end in their unit; labels never hold a key.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("meepo2_cdc_records", "Records committed to Kafka.", ["action"])
COMMITS = Counter("meepo2_cdc_commits", "Kafka transactions committed.")
ROWS_EVENTS_SKIPPED = Counter(
    "meepo2_cdc_rows_events_skipped", "Rows events passed over, by table and reason.", ["table", "reason"]
)
EVENTS_UNREADABLE = Counter(
    "meepo2_cdc_events_unreadable", "Log events passed over because they cannot be read.", ["event_type"]
)
SOURCE_CONNECTED = Gauge(
    "meepo2_cdc_source_connected", "1 while the source's log is followed, 0 while it is lost or silent."
)
RECONNECTS = Counter("meepo2_cdc_source_reconnects", "Times the connection to the source was made anew.")
PRODUCERS_REPLACED = Counter("meepo2_cdc_producers_replaced", "Times the producer was replaced after a slow commit.")
SEQ = Gauge("meepo2_cdc_checkpoint_seq", "seq of the last committed record.")
COMMITTED_AT = Gauge(
    "meepo2_cdc_source_committed_timestamp_seconds", "When the source committed what was read last, unix time."
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
