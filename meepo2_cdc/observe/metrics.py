"""
The metrics there are, in one place.

Names end in their unit; labels never hold a key.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge

RECORDS = Counter("meepo2_cdc_records", "Records committed to Kafka.", ["action"])
COMMITS = Counter("meepo2_cdc_commits", "Kafka transactions committed.")
ROWS_EVENTS_SKIPPED = Counter(
    "meepo2_cdc_rows_events_skipped", "Rows events passed over, by table and reason.", ["table", "reason"]
)
EVENTS_UNREADABLE = Counter(
    "meepo2_cdc_events_unreadable", "Log events passed over because they cannot be read.", ["event_type"]
)
RECONNECTS = Counter("meepo2_cdc_source_reconnects", "Times the connection to the source was made anew.")
PRODUCERS_REPLACED = Counter("meepo2_cdc_producers_replaced", "Times the producer was replaced after a slow commit.")
SEQ = Gauge("meepo2_cdc_checkpoint_seq", "seq of the last committed record.")
COMMITTED_AT = Gauge(
    "meepo2_cdc_source_committed_timestamp_seconds", "When the source committed what was read last, unix time."
)
