"""
Changes as CloudEvents 1.0, and the signature of a request.

Formats: CloudEvents "JSON Event Format" 1.0.2 (structured and batched content modes), RFC 3339 times, RFC 3986
percent-encoding.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from meepo2_cdc.records import KeyPart, TableAction
from meepo2_cdc.records.telling import as_json, iso, json_fields

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCHED = "application/cloudevents-batch+json; charset=utf-8"
SIGNATURE = "Meepo2-Signature"


def event(record: TableAction, prefix: str) -> dict[str, Any]:
    """`source` and `id` together name a change for ever, so that a receiver knows one that comes again."""
    return {
        "specversion": "1.0",
        "id": f"{record.source.name}:{record.seq}",
        "source": f"/{prefix}/{record.source.name}",
        "type": f"meepo2.cdc.{record.action.value}",
        "subject": _subject(record),
        "time": iso(record.committed_at),
        "datacontenttype": "application/json",
        "data": json_fields(record),
    }


def structured(records: Sequence[TableAction], prefix: str) -> bytes:
    (record,) = records
    return as_json(event(record, prefix)).encode()


def batched(records: Sequence[TableAction], prefix: str) -> bytes:
    return as_json([event(record, prefix) for record in records]).encode()


def signature(key: bytes, body: bytes, moment: int) -> str:
    """`t=<seconds since 1970>,v1=<hex HMAC-SHA256 of t, a full stop and the body>`: the time is signed with it."""
    digest = hmac.new(key, b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def _subject(record: TableAction) -> str:
    """`shop.user/7`, `shop.seat/1,a%2Fb`: for filters; the key's types are in the data."""
    table = f"{quote(record.schema, safe='')}.{quote(record.table, safe='')}"
    return "/".join([table, ",".join(map(_subject_part, record.pk))]) if record.pk else table


def _subject_part(part: KeyPart) -> str:
    return quote(part if isinstance(part, bytes) else str(part), safe="")
