"""
How a change is told to those who do not read Avro: the name of its event, a line of text, JSON.

Event and text are those of meepo2: `user_write 1`.  Values only; knows nothing of who is told, nor how.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

from meepo2_cdc.records.row_change import Image, RowChange, Value
from meepo2_cdc.records.table_action import KeyPart, TableAction

Pk = KeyPart | tuple[KeyPart, ...]

_NO_NAME = re.compile(r"[\s%\x00-\x1f\x7f]")


def event_name(record: TableAction, *, qualified: bool = False) -> str:
    """`user_write`, or `shop.user_write`."""
    return f"{record.qualified_table if qualified else record.table}_{record.action.value}"


def plain_key(pk: tuple[KeyPart, ...]) -> Pk:
    """The value itself where the primary key has one part; else the tuple, which is empty for a truncate."""
    return pk[0] if len(pk) == 1 else pk


def topic(record: TableAction, *, qualified: bool = False) -> str:
    """The event's name as one word: white space, control characters and % in it are percent-encoded."""
    return _NO_NAME.sub(lambda found: quote(found[0], safe=""), event_name(record, qualified=qualified))


def as_text(record: TableAction, *, qualified: bool = False) -> str:
    """
    Topic and key with one space between, as meepo2 sent them: `user_write 1`, `seat_write (1, 'x y')`.

    Only who knows the types of the key's columns can tell the number 1 from the text 1.
    """
    return f"{topic(record, qualified=qualified)} {str(plain_key(record.pk))}"  # noqa: RUF010


def as_topic_and_json(record: TableAction, *, qualified: bool = False) -> str:
    """The topic, one space, and the record as a JSON object on one line."""
    return f"{topic(record, qualified=qualified)} {as_json(json_fields(record))}"


def json_fields(record: TableAction) -> dict[str, Any]:
    """The record's fields as JSON has them; bytes are {"base64": ...}, times ISO 8601 in UTC."""
    source = record.source
    fields: dict[str, Any] = {
        "action": record.action.value,
        "schema": record.schema,
        "table": record.table,
        "pk": [json_key_part(part) for part in record.pk],
        "committed_at": iso(record.committed_at),
        "snapshot": record.snapshot,
        "seq": record.seq,
        "source": {
            "name": source.name,
            "gtid": source.gtid,
            "file": source.file,
            "position": source.position,
            "row": source.row,
        },
    }
    if isinstance(record, RowChange):
        fields |= {
            "left_out": record.left_out,
            "before": json_image(record.before),
            "after": json_image(record.after),
        }
    return fields


def json_image(image: Image | None) -> dict[str, Any] | None:
    """The values of a row, as those of a key."""
    return None if image is None else {name: json_value(value) for name, value in image.items()}


def json_value(value: Value) -> Any:
    return None if value is None else json_key_part(value)


def json_key_part(part: KeyPart) -> Any:
    """The part as it is; bytes, which JSON has not, as {"base64": ...}."""
    return {"base64": base64.b64encode(part).decode()} if isinstance(part, bytes) else part


def iso(moment: datetime) -> str:
    """A UTC time with microseconds and Z."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
