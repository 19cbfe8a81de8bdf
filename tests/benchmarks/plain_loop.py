"""
What a Python team would write first: python-mysql-replication, json, `produce()`.  No transactions, no checkpoint.

Prints its rows and the seconds from the first event to the last acknowledged record, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from confluent_kafka import Producer
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent


def main(host: str, port: str, user: str, file: str, schema: str, kafka: str, topic: str) -> None:
    stream = BinLogStreamReader(
        connection_settings={"host": host, "port": int(port), "user": user, "passwd": ""},
        server_id=4_100_000_001,
        resume_stream=True,
        log_file=file,
        log_pos=4,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        only_schemas=[schema],
        enable_logging=False,
    )
    producer = Producer({"bootstrap.servers": kafka, "enable.idempotence": True, "compression.type": "lz4"})
    rows, began = 0, 0.0
    for event in stream:
        began = began or time.perf_counter()
        for row in event.rows:
            _produce(producer, topic, event, row["values"])
            rows += 1
        producer.poll(0)
    producer.flush()
    json.dump({"rows": rows, "seconds": time.perf_counter() - began}, sys.stdout)


def _produce(producer: Producer, topic: str, event: Any, values: dict[str, Any]) -> None:
    key = json.dumps(values[event.primary_key])
    value = json.dumps({"action": "write", "schema": event.schema, "table": event.table, "pk": [key]})
    while True:
        try:
            producer.produce(topic, value, key, timestamp=event.timestamp * 1000)
            return
        except BufferError:
            producer.poll(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
