"""
Where a capture goes on: the value of the checkpoint topic.

Always in single-object encoding, so that it can be read without a registry.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from meepo2_cdc.records.avro import Decoder, encode
from meepo2_cdc.records.snapshot import Snapshot, fields_of, snapshot_of


@dataclass(frozen=True, slots=True)
class UndecidedXa:
    """Where the earliest XA transaction begins that is prepared and not yet decided."""

    file: str
    position: int
    gtid_set: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    Fields as in schemas/checkpoint/v2.avsc.

    Everything before `file`:`position` is published, and `rows_done` rows of the transaction `gtid` that begins there;
    `gtid_set` says the same in global transaction ids, where the source has them.
    """

    source: str
    flavor: str
    server: str | None
    gtid_set: str | None
    file: str
    position: int
    gtid: str | None
    rows_done: int
    undecided: UndecidedXa | None
    seq: int
    tables: tuple[str, ...]
    committed_at: datetime | None
    written_by: str
    written_at: datetime
    control_offset: int | None = None
    snapshots: tuple[Snapshot, ...] = ()

    def encoded(self) -> bytes:
        """As version 1 while there is nothing that it has no place for: readers that are older go on."""
        version = 1 if self.control_offset is None and not self.snapshots else 2
        return encode("checkpoint", self.fields(), version=version)

    def fields(self) -> dict[str, Any]:
        """By name, as Avro and JSON have them."""
        return asdict(replace(self, snapshots=())) | {"snapshots": [fields_of(one) for one in self.snapshots]}


_decoder = Decoder("checkpoint")


def decode_checkpoint(raw: bytes) -> Checkpoint:
    """Raises UnreadableData when the bytes are no checkpoint of a known version."""
    found = _decoder.decode(raw)
    undecided = None if found["undecided"] is None else UndecidedXa(**found["undecided"])
    snapshots = tuple(map(snapshot_of, found["snapshots"]))
    return Checkpoint(**(found | {"tables": tuple(found["tables"]), "undecided": undecided, "snapshots": snapshots}))
