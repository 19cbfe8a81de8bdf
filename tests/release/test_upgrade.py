"""
What the first release wrote is read by this one, and what this one writes can be read by the first.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace

import fastavro
from confluent_kafka import Producer

from meepo2_cdc.kafka.checkpoints import read_checkpoint, read_newest
from meepo2_cdc.records import avro
from tests import command
from tests.kafka import Topics
from tests.readers.golden import Pair, pairs, to_json
from tests.scenes import Scene

FIRST = 1


def first_release(record: str) -> list[Pair]:
    return [pair for pair in pairs(record) if pair.version == FIRST]


def test_topics_of_the_first_release_are_replayed(kafka: str, prefix: str) -> None:
    """Topics are kept for years; a record that only its own version reads is lost at the first upgrade."""
    written = first_release("table_action")
    topic = Topics(kafka).create(f"{prefix}.shop.orders")
    _produce(kafka, topic, [(None, pair.raw) for pair in written])
    settings = {"MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_PREFIX": prefix}
    outcome = command.run("replay", "--from-offset", "0", "--json", settings=settings)
    assert outcome.code == 0, outcome.err
    read = [json.loads(line) for line in outcome.out.splitlines()]
    assert [{name: one[name] for name in pair.fields} for one, pair in zip(read, written, strict=True)] == [
        pair.fields for pair in written
    ]


def test_every_checkpoint_of_the_first_release_is_read(kafka: str, prefix: str) -> None:
    """A capture that does not find its place after an upgrade ends with exit 3, on every machine at once."""
    topics = Topics(kafka)
    for number, pair in enumerate(first_release("checkpoint")):
        source = str(pair.fields["source"])
        topic = topics.create(f"{prefix}.{number}.checkpoints.{source}")
        _produce(kafka, topic, [(source.encode(), pair.raw)])
        read = read_checkpoint({"bootstrap.servers": kafka}, topic, source)
        assert read is not None
        shown = to_json(read.fields())
        assert {name: shown[name] for name in pair.fields} == pair.fields, pair


def _produce(kafka: str, topic: str, messages: list[tuple[bytes | None, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for key, value in messages:
        producer.produce(topic, key=key, value=value)
    assert producer.flush(30) == 0


def test_a_capture_goes_on_from_a_checkpoint_that_the_first_release_would_have_written(scene: Scene) -> None:
    """The checkpoint is written anew by the released schema file and nothing else, as an old process would."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.caught_up()
    checkpoint = scene.checkpoint()
    assert checkpoint is not None
    # a later seq, so that it is seen that this one is taken
    old = replace(checkpoint, seq=checkpoint.seq + 1000, written_by="meepo2-cdc 0.1.0")
    _produce(scene.kafka, f"{scene.prefix}.checkpoints.db", [(b"db", _as_first_release(old.fields()))])

    scene.run("INSERT INTO test VALUES (2)")
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]
    assert max(one.action.seq for one in scene.reads() if one.action) == old.seq + 1


def _as_first_release(fields: dict[str, object]) -> bytes:
    schema = fastavro.parse_schema(json.loads(avro.schema_text("checkpoint", FIRST)))
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {one["name"]: fields[one["name"]] for one in schema["fields"]})
    return avro.single_object_header("checkpoint", FIRST) + out.getvalue()


def test_a_capture_without_snapshots_can_be_rolled_back(scene: Scene) -> None:
    """In the middle of a rollout, or after it was taken back, the first release must be able to read where to go on."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.caught_up()
    raw = read_newest({"bootstrap.servers": scene.kafka}, f"{scene.prefix}.checkpoints.db", "db")
    header = avro.single_object_header("checkpoint", FIRST)
    assert raw is not None
    assert raw.startswith(header)
    schema = fastavro.parse_schema(json.loads(avro.schema_text("checkpoint", FIRST)))
    assert fastavro.schemaless_reader(io.BytesIO(raw[len(header) :]), schema)["source"] == "db"
