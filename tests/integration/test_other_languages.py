"""
A topic read by Java: Kafka's own consumer and Avro's own decoder, with none of our code in between.
"""

import json
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient

from meepo2_cdc.kafka.registry import header_of
from meepo2_cdc.kafka.topics import ensure_topic
from meepo2_cdc.records import avro
from tests.readers import java_reader
from tests.readers.golden import SCHEMAS, exactly, from_json, pairs

PARTITIONS = 5
SECONDS = 30
GOLDEN = [pair.fields for pair in pairs("table_action")]
TEMPLATE = next(fields for fields in GOLDEN if fields["action"] == "write")


@dataclass
class Topic:
    """A topic under a framing of ours, and what Java should print of it, in the order of writing."""

    kafka: str
    name: str
    registry_url: str | None
    value_header: bytes
    key_header: bytes
    committed: list[dict[str, Any]] = field(default_factory=list)
    taken_back: list[dict[str, Any]] = field(default_factory=list)

    def read(self, isolation: str = "read_committed") -> list[dict[str, Any]]:
        return java_reader.read_topic(self.kafka, self.name, self.registry_url, isolation)


class Writer:
    """Writes JSON records into a topic in transactions, and notes what Java should print of each."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": topic.kafka,
                "transactional.id": topic.name,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
            }
        )
        self._producer.init_transactions(SECONDS)

    def transaction(self, records: list[dict[str, Any]], commit: bool = True, tombstones: bool = False) -> None:
        """`tombstones` writes null in place of each record's value."""
        lines = self._topic.committed if commit else self._topic.taken_back
        self._producer.begin_transaction()
        for fields in records:
            for partition in range(PARTITIONS) if fields["action"] == "truncate" else [-1]:
                self._write(fields, partition, None if tombstones else self._value(fields), lines)
        self._producer.flush(SECONDS)
        if commit:
            self._producer.commit_transaction(SECONDS)
        else:
            self._producer.abort_transaction(SECONDS)

    def _value(self, fields: dict[str, Any]) -> bytes:
        return avro.encode("table_action", from_json(fields), self._topic.value_header)

    def _write(self, fields: dict[str, Any], partition: int, value: bytes | None, lines: list[dict[str, Any]]) -> None:
        key = {name: fields[name] for name in ("schema", "table", "pk")}

        def written(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            place = {"topic": self._topic.name, "partition": message.partition(), "offset": message.offset()}
            lines.append(({"tombstone": True} if value is None else fields) | place | {"key": key})

        raw_key = avro.encode("table_key", from_json(key), self._topic.key_header)
        self._producer.produce(self._topic.name, value, raw_key, partition, on_delivery=written)


def make_topic(kafka: str, registry_url: str | None = None) -> Topic:
    """A new topic, in the Confluent framing when there is a registry."""
    name = f"other-languages.{uuid.uuid4().hex[:8]}"
    ensure_topic(AdminClient({"bootstrap.servers": kafka}), name, PARTITIONS, 1, {})
    if registry_url is None:
        headers = [avro.single_object_header(record) for record in ("table_action", "table_key")]
    else:
        subjects = {f"{name}-value": "table_action", f"{name}-key": "table_key"}
        headers = [header_of(registry_url, subject, record) for subject, record in subjects.items()]
    return Topic(kafka, name, registry_url, *headers)


def many_keys(count: int) -> list[dict[str, Any]]:
    """Records of different keys, of all lengths modulo the four bytes that murmur2 takes at a time."""
    kinds = [lambda n: [n], lambda n: [f"key {n}"], lambda n: [n, "x" * (n % 7)], lambda n: [n / 8]]
    return [TEMPLATE | {"pk": kinds[n % len(kinds)](n), "seq": n} for n in range(count)]


@pytest.fixture(scope="module", params=["single-object", "confluent"])
def topic(request: pytest.FixtureRequest, kafka: str) -> Topic:
    """The golden records, then some that were taken back, then many keys and a tombstone."""
    made = make_topic(kafka, request.getfixturevalue("registry") if request.param == "confluent" else None)
    writer = Writer(made)
    writer.transaction(GOLDEN)
    writer.transaction([fields | {"seq": -1} for fields in many_keys(50)], commit=False)
    writer.transaction(many_keys(200))
    writer.transaction([TEMPLATE], tombstones=True)
    for lines in (made.committed, made.taken_back):
        lines.sort(key=lambda line: (line["partition"], line["offset"]))
    return made


def without_choice(lines: list[dict[str, Any]]) -> list[str]:
    """Lines to compare exactly, less what only Java can say."""
    return [exactly({name: value for name, value in line.items() if name != "java_partition"}) for line in lines]


def test_java_reads_every_golden_file_as_its_json():
    """
    The pairs are made by a Python library; if Avro's own reads them otherwise, they mislead.

    It reads all of them as the newest version, so that a field that came later has its default.
    """
    expected = {
        str(pair.bin_file.relative_to(SCHEMAS)): exactly(_defaults(pair.bin_file.parents[1]) | pair.fields)
        for pair in pairs()
    }
    assert len(expected) > 30
    assert {name: exactly(fields) for name, fields in java_reader.golden().items()} == expected


def _defaults(directory: Path) -> dict[str, Any]:
    newest = max(directory.glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    return {field["name"]: field["default"] for field in json.loads(newest.read_text())["fields"] if "default" in field}


def test_java_reads_exactly_the_records_that_were_committed(topic: Topic):
    """A record lost, doubled, or misread in another language is a contract for Python only."""
    assert len(topic.committed) == len(GOLDEN) + (PARTITIONS - 1) + 200 + 1
    assert without_choice(topic.read()) == without_choice(topic.committed)


def test_java_that_reads_uncommitted_gets_what_was_taken_back(topic: Topic):
    """Java's default: were this not so, the test above would not show what read_committed is good for."""
    everything = sorted(topic.committed + topic.taken_back, key=lambda one: (one["partition"], one["offset"]))
    assert len(topic.taken_back) == 50
    assert without_choice(topic.read("read_uncommitted")) == without_choice(everything)


def test_java_would_send_every_key_to_the_partition_that_librdkafka_chose(topic: Topic):
    """A Java program that writes or joins by key must find a row where we put it."""
    lines = [line for line in topic.read() if line.get("action") != "truncate"]
    assert {line["partition"] for line in lines} == set(range(PARTITIONS))
    assert [line["java_partition"] for line in lines] == [line["partition"] for line in lines]


def test_the_java_program_in_the_readme_reads_a_topic(tmp_path: Path, kafka: str):
    """An example that does not run costs each reader an afternoon."""
    example_topic = make_topic(kafka)
    writer = Writer(example_topic)
    writer.transaction(many_keys(20), commit=False)
    writer.transaction([TEMPLATE], tombstones=True)
    writer.transaction(many_keys(20))
    text = (SCHEMAS / "README.md").read_text().split("```java\n")[1].split("```")[0]
    for shown, real in {"localhost:9092": kafka, "cdc.shop.orders": example_topic.name}.items():
        assert text.count(f'"{shown}"') == 1
        text = text.replace(shown, real)
    source = tmp_path / "Example.java"
    source.write_text(text.replace('"example"', f'"{example_topic.name}"'))
    written = [f"write orders {java_list(fields['pk'])}" for fields in many_keys(20)]
    assert sorted(first_lines(java_reader.java_command(source), 20)) == sorted(written)


def java_list(parts: list[Any]) -> str:
    return f"[{', '.join(map(str, parts))}]"


def first_lines(command: list[str], count: int) -> list[str]:
    """What a program that never ends prints first; fewer lines when it does end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SCHEMAS.parent) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline().rstrip("\n") for _ in range(count)]
        running.kill()
    return lines
