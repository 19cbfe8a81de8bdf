"""
Records as bytes and back: the schemas, and the two framings that tell a reader which schema a record has.

- Avro single-object encoding (Avro specification 1.11): C3 01, the schema's CRC-64-AVRO fingerprint (8 bytes, little
  endian), the record.  Used where there is no schema registry.
- Confluent wire format: 00, the schema's id in the registry (4 bytes, big endian), the record.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records.table_action import Action, KeyPart, Source, TableAction

Schema = dict[str, Any]
SchemaOfId = Callable[[int], Schema]

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"

NAMES = ("table_action", "table_key", "checkpoint")
"""The records there are; each has its released versions in a folder of its own."""


def schema_text(name: str, version: int = 1) -> str:
    """The released schema file, as published."""
    return files("meepo2_cdc").joinpath("_schemas", name, f"v{version}.avsc").read_text(encoding="utf-8")


@cache
def schema(name: str, version: int = 1) -> Schema:
    """The released schema, parsed by fastavro."""
    parsed: Schema = fastavro.parse_schema(json.loads(schema_text(name, version)))
    return parsed


@cache
def single_object_header(name: str, version: int = 1) -> bytes:
    """The ten bytes in front of a single-object record: marker and fingerprint."""
    # fastavro writes the fingerprint's bytes in the order in which they travel
    canonical = to_parsing_canonical_form(json.loads(schema_text(name, version)))
    return SINGLE_OBJECT + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


def confluent_header(schema_id: int) -> bytes:
    """The five bytes in front of a record in the Confluent wire format."""
    return CONFLUENT + schema_id.to_bytes(4, "big")


def encode(name: str, record: Any, header: bytes | None = None) -> bytes:
    """A framed record; `header` is the single-object one unless given."""
    out = io.BytesIO()
    out.write(single_object_header(name) if header is None else header)
    fastavro.schemaless_writer(out, schema(name), record)
    return out.getvalue()


def encode_action(action: TableAction, header: bytes | None = None) -> bytes:
    """The value of a Kafka record."""
    return encode("table_action", asdict(action) | {"action": action.action.value}, header)


def encode_key(schema_name: str, table: str, pk: tuple[KeyPart, ...], header: bytes | None = None) -> bytes:
    """The key of a Kafka record."""
    return encode("table_key", {"schema": schema_name, "table": table, "pk": pk}, header)


class Decoder:
    """
    Reads records of one kind in every framing and every version.

    `schema_of_id` looks a schema up in the registry by its number; without it, records in the Confluent wire format
    raise UnreadableData, as everything does that is not such a record.
    """

    def __init__(self, name: str, schema_of_id: SchemaOfId | None = None) -> None:
        self._name = name
        self._reader_schema = schema(name)
        self._by_header: dict[bytes, Schema] = {single_object_header(name): self._reader_schema}
        self._schema_of_id = schema_of_id

    def decode(self, raw: bytes) -> dict[str, Any]:
        """The record's fields by name."""
        size = 10 if raw[:2] == SINGLE_OBJECT else 5
        written_as = self._by_header.get(raw[:size]) or self._look_up(raw[:size])
        try:
            found = fastavro.schemaless_reader(io.BytesIO(raw[size:]), written_as, self._reader_schema)
        except (EOFError, ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
            raise UnreadableData(f"a record is not a {self._name}: {error or type(error).__name__}") from error
        assert isinstance(found, dict)
        return found

    def _look_up(self, header: bytes) -> Schema:
        if header[:2] == SINGLE_OBJECT and len(header) == 10:
            raise UnreadableData(
                f"a record has the Avro fingerprint {header[2:].hex()}, which is no released version of {self._name}"
            )
        if header[:1] != CONFLUENT or len(header) != 5:
            raise UnreadableData(f"a record begins with {header.hex(' ')!r}, which is neither Avro framing")
        if self._schema_of_id is None:
            raise UnreadableData(
                f"a record names schema {int.from_bytes(header[1:], 'big')} of a schema registry, and none is set",
                fix="Set schema_registry_url (MEEPO2_SCHEMA_REGISTRY_URL, or --schema-registry-url).",
            )
        written_as = self._schema_of_id(int.from_bytes(header[1:], "big"))
        self._by_header[header] = written_as
        return written_as


class ActionDecoder(Decoder):
    """Reads the values of data topics."""

    def __init__(self, schema_of_id: SchemaOfId | None = None) -> None:
        super().__init__("table_action", schema_of_id)

    def action(self, raw: bytes) -> TableAction:
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
