"""
What a Python team would write first: python-mysql-replication, json, `produce()`.  No transactions, no checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from confluent_kafka import KafkaError, Producer
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent


def main(settings: dict[str, str]) -> None:
    stream = BinLogStreamReader(
        connection_settings={
            "host": settings["MYSQL_HOST"],
            "port": int(settings["MYSQL_PORT"]),
            "user": settings["MYSQL_USER"],
            "passwd": settings["MYSQL_PASSWORD"],
        },
        server_id=int(settings["SERVER_ID"]),
        blocking=True,
        resume_stream=True,
        log_file=settings["BINLOG_FILE"],
        log_pos=int(settings["BINLOG_POSITION"]),
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        only_schemas=[settings["SCHEMA"]],
        enable_logging=False,
    )
    producer = Producer({
        "bootstrap.servers": settings["KAFKA"],
        "enable.idempotence": True,
        "linger.ms": 10,
        "compression.type": "lz4",
    })  # fmt: skip
    for event in stream:
        for row in event.rows:
            _produce(producer, f"{settings['PREFIX']}.{event.schema}.{event.table}", event, row)
        producer.poll(0)


def _produce(producer: Producer, topic: str, event: Any, row: dict[str, Any]) -> None:
    names = event.primary_key if isinstance(event.primary_key, tuple) else (event.primary_key,)
    before, after = _images(event, row)
    kept = after or before
    assert kept is not None
    source = {"db": event.schema, "table": event.table, "ts_ms": event.timestamp * 1000}
    key = json.dumps({name: kept[name] for name in names}, default=_text)
    value = json.dumps(
        {"before": before, "after": after, "source": source, "ts_ms": int(time.time() * 1000)}, default=_text
    )
    while True:
        try:
            producer.produce(topic, value, key, on_delivery=_delivered)
            return
        except BufferError:
            producer.poll(0.05)


def _images(event: Any, row: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    if isinstance(event, UpdateRowsEvent):
        return row["before_values"], row["after_values"]
    return (row["values"], None) if isinstance(event, DeleteRowsEvent) else (None, row["values"])


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _delivered(error: KafkaError | None, _: object) -> None:
    if error is not None:
        sys.exit(f"a message was not delivered: {error}")


if __name__ == "__main__":
    main(dict(os.environ))
