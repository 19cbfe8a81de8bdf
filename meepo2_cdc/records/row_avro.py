"""
Row changes as bytes and back.
"""

from __future__ import annotations

from dataclasses import asdict

from meepo2_cdc.records.avro import CONFLUENT, SINGLE_OBJECT, ActionDecoder, Decoder, SchemaOfId, encode
from meepo2_cdc.records.row_change import RowChange
from meepo2_cdc.records.table_action import Action, Source, TableAction


class ChangeDecoder(ActionDecoder):
    """Reads data topics and row topics: each record is a TableAction or, where it has the row, a RowChange."""

    def __init__(self, schema_of_id: SchemaOfId | None = None) -> None:
        super().__init__(schema_of_id)
        self._rows = _RowDecoder(schema_of_id)

    def _action(self, raw: bytes) -> TableAction:
        return self._rows.change(raw) if self._rows.is_for(raw) else super()._action(raw)


class _RowDecoder(Decoder):
    def __init__(self, schema_of_id: SchemaOfId | None) -> None:
        super().__init__("row_change", schema_of_id)
        self._of_others: set[bytes] = set()

    def is_for(self, raw: bytes) -> bool:
        header = raw[: 10 if raw[:2] == SINGLE_OBJECT else 5]
        if header in self._by_header:
            return True
        if header[:1] != CONFLUENT or len(header) < 5 or self._schema_of_id is None or header in self._of_others:
            return False
        written_as = self._schema_of_id(int.from_bytes(header[1:], "big"))
        found = isinstance(written_as, dict) and bool(written_as.get("name") == self._reader_schema["name"])
        if not found:
            self._of_others.add(header)
        return found

    def change(self, raw: bytes) -> RowChange:
        found = self.decode(raw)
        values = {"action": Action(found["action"]), "pk": tuple(found["pk"]), "source": Source(**found["source"])}
        return RowChange(**(found | values))


def encode_change(change: RowChange, header: bytes | None = None) -> bytes:
    """The value of a record in a row topic."""
    return encode("row_change", asdict(change) | {"action": change.action.value, "pk": list(change.pk)}, header)
