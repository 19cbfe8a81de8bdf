"""
What travels where rows are asked for: one changed row with its values.

Values only, as table_action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meepo2_cdc.records.table_action import KeyPart, TableAction

Value = KeyPart | None
Image = Mapping[str, Value]
"""The values of a row by column, as docs/rows.md says."""


@dataclass(frozen=True, slots=True)
class RowChange(TableAction):
    """
    The TableAction of a change, with the row before and after it.

    `before` is None for a write, `after` for a delete; both are for a truncate, and where `left_out` says why.  A key
    that changed is a delete of the old one, with `before`, then a write of the new one, with `after`.
    """

    before: Image | None = None
    after: Image | None = None
    left_out: str | None = None
