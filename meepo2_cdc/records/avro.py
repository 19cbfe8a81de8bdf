"""
Records as bytes and back: the schemas, and the two framings that tell a reader which schema a record has.

- Avro single-object encoding (Avro specification 1.11): C3 01, the schema's CRC-64-AVRO fingerprint (8 bytes,
  little endian), the record.  Used where there is no schema registry.
- Confluent wire format: 00, the schema's id in the registry (4 bytes, big endian), the record.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any, cast

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import fingerprint, to_parsing_canonical_form

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records.table_action import Action, KeyPart, Source, TableAction
from meepo2_cdc.records.wire import LONG_MAX
from meepo2_cdc.records.wire_reader import ActionReader

Schema = dict[str, Any]
SchemaOfId = Callable[[int], Schema]

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"

NAMES = ("table_action", "table_key", "checkpoint", "relay_checkpoint", "row_change")
"""The records there are; each has its released versions in a folder of its own."""


# What fastavro raises for bytes that are no such record, first match; its own words name Python objects.
_WHY: tuple[tuple[type[Exception], str], ...] = (
    (EOFError, "it ends too early"),
    (UnicodeDecodeError, "a string in it is not UTF-8"),
    (IndexError, "it names an enum symbol or a union branch that does not exist"),
    (OverflowError, "a time in it lies outside the years 1 to 9999"),
    (SchemaResolutionError, "the schema it was written with cannot be read as this one"),
    (ValueError, "a length in it is impossible"),
    (TypeError, "a field in it has the wrong type"),
    (KeyError, "a field in it is missing"),
)


def versions(name: str) -> list[int]:
    """The released versions of a record, oldest first."""
    folder = files("meepo2_cdc").joinpath("_schemas", name)
    return sorted(int(file.name[1:-5]) for file in folder.iterdir() if file.name.endswith(".avsc"))


@cache
def newest(name: str) -> int:
    """The last released version of a record."""
    return versions(name)[-1]


def schema_text(name: str, version: int = 1) -> str:
    """The released schema file, as published."""
    return files("meepo2_cdc").joinpath("_schemas", name, f"v{version}.avsc").read_text(encoding="utf-8")


@cache
def schema(name: str, version: int = 1) -> Schema:
    """The released schema, parsed by fastavro."""
    return cast(Schema, fastavro.parse_schema(json.loads(schema_text(name, version))))


@cache
def single_object_header(name: str, version: int = 1) -> bytes:
    """The ten bytes in front of a single-object record: marker and fingerprint."""
    # fastavro writes the fingerprint's bytes in the order in which they travel
    canonical = to_parsing_canonical_form(json.loads(schema_text(name, version)))
    return SINGLE_OBJECT + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


def confluent_header(schema_id: int) -> bytes:
    """The five bytes in front of a record in the Confluent wire format."""
    return CONFLUENT + schema_id.to_bytes(4, "big")


def encode(name: str, record: Any, header: bytes | None = None, *, version: int | None = None) -> bytes:
    """A framed record, of the newest version unless one is given; `header` is the single-object one unless given."""
    version = newest(name) if version is None else version
    out = io.BytesIO()
    out.write(single_object_header(name, version) if header is None else header)
    fastavro.schemaless_writer(out, schema(name, version), record)
    return out.getvalue()


def encode_action(action: TableAction, header: bytes | None = None) -> bytes:
    """The value of a Kafka record."""
    fields = asdict(action) | {"action": action.action.value, "pk": _within_long(action.pk)}
    return encode("table_action", fields, header)


def encode_key(schema_name: str, table: str, pk: tuple[KeyPart, ...], header: bytes | None = None) -> bytes:
    """The key of a Kafka record."""
    return encode("table_key", {"schema": schema_name, "table": table, "pk": _within_long(pk)}, header)


def _within_long(pk: tuple[KeyPart, ...]) -> list[KeyPart]:
    """BIGINT UNSIGNED above a long as its digits; fastavro would make it a double, and two keys one."""
    return [str(part) if isinstance(part, int) and part > LONG_MAX else part for part in pk]


class Decoder:
    """
    Reads records of one kind in every framing and every version.

    `schema_of_id` looks a schema up in the registry by its number; without it, records in the Confluent wire
    format raise UnreadableData, as everything does that is not such a record.
    """

    def __init__(self, name: str, schema_of_id: SchemaOfId | None = None) -> None:
        self._name = name
        self._reader_schema = schema(name, newest(name))
        self._by_header = {single_object_header(name, n): self._or_the_same(schema(name, n)) for n in versions(name)}
        self._schema_of_id = schema_of_id

    def decode(self, raw: bytes) -> dict[str, Any]:
        """The record's fields by name; bytes that follow the record are refused like missing ones."""
        size = 10 if raw[:2] == SINGLE_OBJECT else 5
        written_as = self._by_header.get(raw[:size]) or self._look_up(raw[:size])
        body = io.BytesIO(raw[size:])
        try:
            found = fastavro.schemaless_reader(body, written_as, self._reader_schema)
        except tuple(kind for kind, _ in _WHY) as error:
            why = next(why for kind, why in _WHY if isinstance(error, kind))
            raise UnreadableData(f"a record is no {self._name}: {why}") from error
        if body.read(1):
            raise UnreadableData(f"a record is no {self._name}: more bytes follow than belong to it")
        return cast(dict[str, Any], found)

    def _look_up(self, header: bytes) -> Schema:
        """The schema that a header not met before stands for."""
        if header[:2] == SINGLE_OBJECT and len(header) == 10:
            raise UnreadableData(
                f"a record has the Avro fingerprint {header[2:].hex()}, which is no released version of {self._name}"
            )
        if header[:1] == CONFLUENT and len(header) == 5:
            self._by_header[header] = written_as = self._ask_registry(int.from_bytes(header[1:], "big"))
            return written_as
        if header and (header[:1] == CONFLUENT or SINGLE_OBJECT.startswith(header[:2])):
            raise UnreadableData(f"a record ends within its header: {header.hex(' ')}")
        begins = f"begins with {header.hex(' ')}" if header else "is empty"
        raise UnreadableData(f"a record {begins}, which is neither Avro framing (c3 01, or 00)")

    def _ask_registry(self, schema_id: int) -> Schema:
        if self._schema_of_id is None:
            raise UnreadableData(
                f"a record names schema {schema_id} of a schema registry, and none is set",
                fix="Set schema_registry_url (MEEPO2_SCHEMA_REGISTRY_URL, or --schema-registry-url).",
            )
        written_as = self._schema_of_id(schema_id)
        # a registry holds other people's schemas too, and not all Avro schemas are records with a name
        found = written_as.get("name") if isinstance(written_as, dict) else json.dumps(written_as)
        if found != (expected := self._reader_schema["name"]):
            raise UnreadableData(f"a record names schema {schema_id} of the registry, which is {found}, not {expected}")
        return self._or_the_same(written_as)

    def _or_the_same(self, written_as: Schema) -> Schema:
        """The reader's schema itself where equal: fastavro compares them at each record, identity first."""
        return self._reader_schema if written_as == self._reader_schema else written_as


class ActionDecoder(Decoder):
    """Reads the values of data topics."""

    def __init__(self, schema_of_id: SchemaOfId | None = None) -> None:
        super().__init__("table_action", schema_of_id)
        self._read = ActionReader().read

    def action(self, raw: bytes) -> TableAction:
        size = 10 if raw[:2] == SINGLE_OBJECT else 5
        if self._by_header.get(raw[:size]) is self._reader_schema:
            read = self._read(raw, size)
            if read is not None:
                return read
        return self._action(raw)

    def _action(self, raw: bytes) -> TableAction:
        found = self.decode(raw)
        return TableAction(
            action=Action(found["action"]),
            schema=found["schema"],
            table=found["table"],
            pk=tuple(found["pk"]),
            committed_at=found["committed_at"],
            snapshot=found["snapshot"],
            seq=found["seq"],
            source=Source(**found["source"]),
        )
