"""
The original meepo2's `mysql_pub` with its 0MQ subscriber in one process, and in another one a subscriber that hands
what it hears to Kafka.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time

# PUB drops what it sends before a subscriber has joined, and tells nobody when it has
JOINING_SECONDS = 1.5


def publish(settings: dict[str, str], address: str) -> None:
    from meepo2.pub import mysql_pub
    from meepo2.sub.zmq import zmq_sub

    dsn = "mysql+pymysql://{MYSQL_USER}:{MYSQL_PASSWORD}@{MYSQL_HOST}:{MYSQL_PORT}/{SCHEMA}".format(**settings)
    kept = zmq_sub(address, [settings["TABLE"]])
    time.sleep(JOINING_SECONDS)
    mysql_pub(
        dsn,
        tables=[settings["TABLE"]],
        blocking=True,
        resume_stream=True,
        log_file=settings["BINLOG_FILE"],
        log_pos=int(settings["BINLOG_POSITION"]),
    )
    del kept


def relay(settings: dict[str, str], address: str) -> None:
    import zmq
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": settings["KAFKA"], "enable.idempotence": True, "linger.ms": 10})
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.connect(address)
    while True:
        event, _, pk = socket.recv_string().partition(" ")
        while True:
            try:
                producer.produce(settings["TOPIC"], event, json.dumps([pk]))
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)


def main(settings: dict[str, str]) -> None:
    # a port could be another's; a path in a directory of our own cannot
    address = f"ipc://{tempfile.mkdtemp()}/events"
    if os.fork() == 0:
        relay(settings, address)
    publish(settings, address)


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
