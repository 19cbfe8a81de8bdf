"""
Where the relay of an outbox goes on: the value of its checkpoint topic.

Always in single-object encoding, as the checkpoint of a capture.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from meepo2_cdc.records.avro import Decoder, encode


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Which row of the outbox: an id alone could be given again by a restored database."""

    id: int
    transaction_id: str


@dataclass(frozen=True, slots=True)
class RelayCheckpoint:
    """Fields as in schemas/relay_checkpoint/v1.avsc.  `rows` are published, and perhaps not removed yet."""

    source: str
    outbox: str
    seq: int
    rows: tuple[OutboxRow, ...]
    written_by: str
    written_at: datetime

    def encoded(self) -> bytes:
        return encode("relay_checkpoint", asdict(self))


_decoder = Decoder("relay_checkpoint")


def decode_relay_checkpoint(raw: bytes) -> RelayCheckpoint:
    """Raises UnreadableData when the bytes are no such checkpoint of a known version."""
    found = _decoder.decode(raw)
    return RelayCheckpoint(**(found | {"rows": tuple(OutboxRow(**one) for one in found["rows"])}))
