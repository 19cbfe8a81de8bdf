"""
What readers in any language are promised: released schemas stay, and the golden pairs show the bytes.
"""

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import KeyPart, avro, wire
from meepo2_cdc.records.checkpoint import decode_checkpoint
from tests.readers.golden import SCHEMAS, Pair, exactly, from_json, pairs, released, to_json

PAIRS = pairs()
NEWEST = [pair for pair in PAIRS if pair.version == max(avro.versions(pair.record))]
ACTION = next(pair for pair in PAIRS if str(pair) == "table_action/v1-write").raw
DECODERS = {name: avro.Decoder(name) for name in avro.NAMES}

each_pair = pytest.mark.parametrize("pair", PAIRS, ids=str)


def without_header(raw: bytes) -> bytes:
    return raw[10:]


# Released files


def test_a_released_file_never_changes():
    """An edited schema has another fingerprint, and every record written before becomes unreadable."""
    lines = (SCHEMAS / "released.sha256").read_text().splitlines()
    promised = {name: digest for digest, name in map(str.split, lines)}
    found = [*SCHEMAS.glob("*/*.avsc"), *SCHEMAS.glob("*/golden/*")]
    assert {str(f.relative_to(SCHEMAS)): hashlib.sha256(f.read_bytes()).hexdigest() for f in found} == promised


def test_every_record_has_a_schema_and_golden_pairs_for_every_version():
    """A version that no pair shows is a version that no reader in another language was ever tried on."""
    assert {record for record, _ in released()} == set(avro.NAMES)
    assert {(pair.record, pair.version) for pair in PAIRS} == set(released())
    assert all(avro.versions(name) == list(range(1, len(avro.versions(name)) + 1)) for name in avro.NAMES)


def records_and_enums(schema: Any) -> Iterator[dict[str, Any]]:
    """The named types of a schema, itself included."""
    if isinstance(schema, list):
        for branch in schema:
            yield from records_and_enums(branch)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield schema
        for inner in [schema.get("items"), *(field["type"] for field in schema.get("fields", ()))]:
            yield from records_and_enums(inner)


@pytest.mark.parametrize(("record", "version"), released())
def test_every_field_says_what_it_means(record: str, version: int):
    """Readers in other languages have the schema file only: a field without a doc is a field guessed at."""
    named = list(records_and_enums(json.loads(avro.schema_text(record, version))))
    described = [*named, *(field for one in named for field in one.get("fields", ()))]
    assert len(described) > 3
    assert [one["name"] for one in described if len(one.get("doc", "")) < 10] == []


def read_as(raw: bytes, writer: avro.Schema, reader: avro.Schema) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(without_header(raw)), writer, reader)


@pytest.mark.parametrize(("record", "reader_version"), released())
def test_every_version_reads_every_other(record: str, reader_version: int):
    """A reader may be older or newer than the capture; neither may stop it or lose a field both know."""
    reader = avro.schema(record, reader_version)
    known = {field["name"] for field in reader["fields"]}
    for pair in pairs(record):
        found = to_json(read_as(pair.raw, avro.schema(record, pair.version), reader))
        shared = {name: value for name, value in pair.fields.items() if name in known}
        assert exactly({name: found[name] for name in shared}) == exactly(shared), pair


def test_a_new_field_without_a_default_would_not_pass_as_a_version():
    """If the check above let it, the first v2 record read back from v1 would stop every reader."""
    older = json.loads(avro.schema_text("table_action"))
    field = {"name": "planted", "type": "string"}
    newer = fastavro.parse_schema(older | {"fields": [*older["fields"], field]})
    with pytest.raises(fastavro.read.SchemaResolutionError):
        read_as(ACTION, avro.schema("table_action"), newer)


# Golden pairs


KINDS = {type(None): "null", int: "long", float: "double", str: "string", bytes: "bytes", dict: "record", list: "array"}


def branches(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Which enum symbols and union branches a decoded record shows, by path."""
    if isinstance(schema, list):
        maps = any(isinstance(one, dict) and one["type"] == "map" for one in schema)
        yield f"{path}: {'map' if maps and isinstance(value, dict) else KINDS[type(value)]}"
        for one in schema:
            if isinstance(one, dict) and isinstance(value, dict):
                yield from branches(value, one, path)
    elif isinstance(schema, dict):
        if "symbols" in schema:
            yield f"{path}: {value}"
        if "items" in schema:
            yield from (found for one in value for found in branches(one, schema["items"], path))
        if "values" in schema:
            yield from (found for one in value.values() for found in branches(one, schema["values"], f"{path}/*"))
        for field in schema.get("fields", ()):
            yield from branches(value[field["name"]], field["type"], f"{path}/{field['name']}")


def possible(schema: Any, path: str = "") -> Iterator[str]:
    """Every enum symbol and union branch that a schema allows, by path."""
    if isinstance(schema, list):
        yield from (f"{path}: {one['type'] if isinstance(one, dict) else one}" for one in schema)
        for one in schema:
            yield from possible(one, path) if isinstance(one, dict) else ()
    elif isinstance(schema, dict):
        yield from (f"{path}: {symbol}" for symbol in schema.get("symbols", ()))
        if "items" in schema:
            yield from possible(schema["items"], path)
        if "values" in schema:
            yield from possible(schema["values"], f"{path}/*")
        for field in schema.get("fields", ()):
            yield from possible(field["type"], f"{path}/{field['name']}")


@pytest.mark.parametrize(("record", "version"), released())
def test_the_golden_pairs_show_every_enum_symbol_and_union_branch(record: str, version: int):
    """A branch that no pair shows is where a reader in another language first fails in production."""
    schema = json.loads(avro.schema_text(record, version))
    of_version = [pair for pair in pairs(record) if pair.version == version]
    plain = [from_json(pair.fields, times=False) for pair in of_version]
    assert {found for one in plain for found in branches(one, schema)} == set(possible(schema))


@each_pair
def test_golden_bytes_are_the_golden_record(pair: Pair):
    """A decoder that reads them otherwise hands other keys to every sink."""
    newest = json.loads(avro.schema_text(pair.record, avro.newest(pair.record)))
    added = {field["name"]: field["default"] for field in newest["fields"] if field["name"] not in pair.fields}
    assert exactly(to_json(DECODERS[pair.record].decode(pair.raw))) == exactly(pair.fields | added)


@pytest.mark.parametrize("pair", NEWEST, ids=str)
def test_a_golden_record_is_the_golden_bytes(pair: Pair):
    """Keys written otherwise go to other partitions, and compaction keeps both."""
    record = from_json(pair.fields)
    assert avro.encode(pair.record, record) == pair.raw
    match pair.record:
        case "table_action":
            assert avro.encode_action(avro.ActionDecoder().action(pair.raw)) == pair.raw
        case "table_key":
            assert avro.encode_key(record["schema"], record["table"], tuple(record["pk"])) == pair.raw
        case "checkpoint":
            assert decode_checkpoint(pair.raw).encoded() == pair.raw


@pytest.mark.parametrize("pair", pairs("checkpoint"), ids=str)
def test_a_checkpoint_is_written_as_the_oldest_version_that_can_hold_it(pair: Pair):
    """A new version for everybody would stop each older reader of checkpoints, also where nobody uses what is new."""
    assert decode_checkpoint(pair.raw).encoded() == pair.raw


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.record != "checkpoint"], ids=str)
def test_the_confluent_framing_differs_in_the_header_only(pair: Pair):
    """A registry switched on must not change what a record says."""
    raw = avro.confluent_header(70000) + without_header(pair.raw)
    asked: list[int] = []
    schema = fastavro.parse_schema(json.loads(avro.schema_text(pair.record, pair.version)))
    decoder = avro.Decoder(pair.record, lambda schema_id: asked.append(schema_id) or schema)
    assert [exactly(to_json(decoder.decode(raw))) for _ in range(2)] == [exactly(pair.fields)] * 2
    assert asked == [70000], "the registry is asked once for each number"


def hex_examples() -> dict[str, bytes]:
    """The worked examples of README.md by the golden pair they name: the hex at the start of each line."""
    blocks = re.findall(r"```text\n(\w+/golden/[\w-]+).*\n((?:.+\n)+?)```", (SCHEMAS / "README.md").read_text())
    line = re.compile(r"(?:[0-9a-f]{2} )+(?= )", re.MULTILINE)
    return {name: bytes.fromhex("".join(line.findall(text))) for name, text in blocks}


def test_the_readme_has_the_header_of_every_released_schema():
    """Libraries without this framing look these ten bytes up; a stale line makes a topic unreadable."""
    table = re.findall(r"^\| `(\w+)/v(\d+)` \| `([0-9a-f ]+)` \|$", (SCHEMAS / "README.md").read_text(), re.MULTILINE)
    headers = {(name, n): avro.single_object_header(name, n).hex(" ") for name, n in released()}
    assert {(name, int(version)): header for name, version, header in table} == headers


def test_the_worked_examples_in_the_readme_are_golden_bytes():
    """Who writes a reader by the page and not by the files must end with the same reader."""
    examples = hex_examples()
    assert set(examples) == {"table_key/golden/v1-long", "table_action/golden/v1-write"}
    assert examples == {name: (SCHEMAS / f"{name}.bin").read_bytes() for name in examples}


# The hot path's own encodings

EDGES = [0, 63, 64, 8191, 8192, (1 << 27) - 1, 1 << 27, 1 << 31, 1 << 41, 1 << 55, (1 << 63) - 1]
longs = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([*EDGES, *(-n - 1 for n in EDGES)])
above_long = st.integers(1 << 63, (1 << 64) - 1)
key_parts = longs | above_long | st.floats() | st.text() | st.binary()


def by_fastavro(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def part_by_wire(part: KeyPart) -> bytes:
    match part:
        case int():
            return wire.long_part(part)
        case float():
            return wire.double_part(part)
        case str():
            assert wire.utf8_part(part.encode()) == wire.string_part(part)
            return wire.string_part(part)
        case bytes():
            return wire.bytes_part(part)


@given(longs)
@settings(max_examples=500, deadline=None)
def test_a_long_is_encoded_as_fastavro_does(n: int):
    """One wrong carry in the table of ready bytes, and a range of keys is another range."""
    assert wire.long(n) == by_fastavro("long", n)


@pytest.mark.parametrize(
    "n", [sign * ((1 << bits) + near) for bits in range(63) for near in (-1, 0, 1) for sign in (1, -1)]
)
def test_a_long_is_encoded_as_fastavro_does_around_every_power_of_two(n: int):
    """Lengths of varints change there; random numbers seldom come near."""
    assert wire.long(n) == by_fastavro("long", n)


@given(st.text() | st.sampled_from(["", "x" * 63, "x" * 64, "é" * 8192]))
@settings(deadline=None)
def test_a_string_is_encoded_as_fastavro_does(text: str):
    """Its length is in bytes; a count of characters would cut the first name that is not ASCII."""
    assert wire.string(text) == by_fastavro("string", text)


@given(st.text(), st.text(), st.lists(key_parts, max_size=20) | st.lists(longs, min_size=60, max_size=70))
@example("shop", "orders", [])
@example("shop", "orders", [(1 << 63) - 1, -(1 << 63), 1 << 63, (1 << 64) - 1])
@settings(max_examples=500, deadline=None)
def test_a_key_of_ready_bytes_is_the_key_fastavro_writes(schema: str, table: str, pk: list[KeyPart]):
    """The capture and everything else must agree on the bytes of a key, or one row has two partitions."""
    end = wire.EMPTY_KEY if pk else b""
    array = wire.long(len(pk)) + b"".join(map(part_by_wire, pk)) + end
    ready = avro.single_object_header("table_key") + wire.string(schema) + wire.string(table) + array
    assert ready == avro.encode_key(schema, table, tuple(pk))


@given(above_long)
@settings(deadline=None)
def test_an_unsigned_key_above_a_long_keeps_all_its_digits(n: int):
    """As a double it would lose its last three digits: two rows with one key."""
    decoded = DECODERS["table_key"].decode(avro.encode_key("shop", "orders", (n,)))
    assert decoded["pk"] == [str(n)]


# What is not a record


UNREADABLE = {
    "nothing": (b"", "is empty"),
    "text": (b'{"action": 1}', "begins with 7b 22 61 63 74, which is neither"),
    "another marker": (b"\xc3\x02" + ACTION[2:], "neither Avro framing"),
    "half a header": (ACTION[:9], "ends within its header: c3 01 5b df"),
    "one byte of a marker": (b"\xc3", "ends within its header: c3"),
    "half a number": (b"\x00\x00\x00\x01", "ends within its header: 00 00 00 01"),
    "another fingerprint": (b"\xc3\x01" + bytes(8) + ACTION[10:], "fingerprint 0000000000000000"),
    "the key's fingerprint": (
        avro.single_object_header("table_key") + ACTION[10:],
        "no released version of table_action",
    ),
    "a number, no registry": (avro.confluent_header(7) + ACTION[10:], "names schema 7 .* none is set"),
    "a header only": (ACTION[:10], "ends too early"),
    "more than a record": (ACTION + b"\x00", "more bytes follow"),
    "no such action": (ACTION[:10] + b"\x08" + ACTION[11:], "symbol or a union branch that does not exist"),
    "not UTF-8": (ACTION[:12] + b"\xff" + ACTION[13:], "not UTF-8"),
}


@pytest.mark.parametrize(("raw", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_record_is_refused_with_the_reason(raw: bytes, says: str):
    """A record misread as another is worse than a stop; a stop that does not say why lasts all night."""
    with pytest.raises(UnreadableData, match=says) as caught:
        avro.ActionDecoder().action(raw)
    assert len(caught.value.found) < 150
    assert "0x" not in caught.value.found


@pytest.mark.parametrize("other", [avro.schema("table_key"), "string", {"type": "fixed", "name": "F", "size": 4}])
def test_a_schema_of_the_registry_that_is_not_ours_is_refused_by_name(other: Any):
    """Registries hold everybody's schemas; a foreign record must be named, not read by luck."""
    decoder = avro.ActionDecoder(lambda schema_id: other)
    with pytest.raises(UnreadableData, match=r"schema 7 of the registry, which is \S+, not meepo2.cdc.TableAction"):
        decoder.action(avro.confluent_header(7) + without_header(ACTION))


@each_pair
def test_a_record_cut_anywhere_is_refused(pair: Pair):
    """Half a record read as a whole one would be a key that no row has."""
    for size in range(len(pair.raw)):
        with pytest.raises(UnreadableData):
            DECODERS[pair.record].decode(pair.raw[:size])


def decode_any_way(name: str, raw: bytes) -> None:
    """Through every door that bytes from Kafka come in by; nothing but UnreadableData may come out."""
    doors = {"table_action": [avro.ActionDecoder(avro_of_id).action], "checkpoint": [decode_checkpoint]}
    for door in [DECODERS[name].decode, avro.Decoder(name, avro_of_id).decode, *doors.get(name, ())]:
        with contextlib.suppress(UnreadableData):
            door(raw)


def avro_of_id(schema_id: int) -> avro.Schema:
    return avro.schema(avro.NAMES[schema_id % len(avro.NAMES)])


@given(st.sampled_from(avro.NAMES), st.sampled_from([b"", *range(3)]), st.binary(max_size=200))
@settings(max_examples=1000, deadline=None)
def test_no_bytes_at_all_bring_another_error(name: str, framing: bytes | int, rest: bytes):
    """An error of the Avro library would end a connector without saying what was found where."""
    header = framing if isinstance(framing, bytes) else avro.confluent_header(framing)
    decode_any_way(name, header + rest)
    decode_any_way(name, avro.single_object_header(name) + rest)


@st.composite
def damaged(draw: st.DrawFn, of: list[Pair]) -> bytes:
    """A golden record with up to three of its bytes changed."""
    raw = bytearray(draw(st.sampled_from(of)).raw)
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(10, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@given(st.data(), st.sampled_from(avro.NAMES))
@settings(max_examples=1000, deadline=None)
def test_no_damage_to_a_record_brings_another_error(data: st.DataObject, name: str):
    """Random bytes fail in the first field; a damaged record reaches the last."""
    decode_any_way(name, data.draw(damaged(pairs(name))))


def read_or_refused(read: Callable[[bytes], Any], raw: bytes) -> str:
    try:
        return exactly(to_json(read(raw)))
    except UnreadableData:
        return "refused"


@given(st.lists(damaged(pairs("table_action")), min_size=1, max_size=4))
@settings(max_examples=2000, deadline=None)
def test_the_fast_reader_reads_what_fastavro_reads_and_refuses_what_it_refuses(raws: list[bytes]):
    """The fast reader takes parts from the record before; once too often, and a key is another row's."""
    decoder = avro.ActionDecoder()
    for raw in raws:
        fast = read_or_refused(lambda raw: asdict(decoder.action(raw)), raw)
        assert fast == read_or_refused(DECODERS["table_action"].decode, raw)
