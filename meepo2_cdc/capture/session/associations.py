"""
Rows of many-to-many tables, which no mapper owns: they follow from what collections gained and lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import InstanceState, Mapper, RelationshipProperty
from sqlalchemy.orm.attributes import instance_state

from meepo2_cdc.records import Action

Row = tuple[Action, Table, tuple[Any, ...]]


@lru_cache(maxsize=4096)
def relationships(mapper: Mapper[Any]) -> list[RelationshipProperty[Any]]:
    return [one for one in mapper.relationships if isinstance(one.secondary, Table) and not one.viewonly]


def rows(mapper: Mapper[Any], state: InstanceState[Any], deleted: bool) -> Iterator[Row]:
    """What a flush wrote to and deleted from the secondary tables for one object; values are in key order."""
    for one in relationships(mapper):
        if one.key not in state.dict and not deleted:
            continue
        history = state.attrs[one.key].history
        lost = [*(history.deleted or ()), *((history.unchanged or ()) if deleted else ())]
        gained = [] if deleted else [*(history.added or ())]
        for action, others in ((Action.DELETE, lost), (Action.WRITE, gained)):
            for other in others:
                if other is not None:
                    yield action, one.secondary, _values(one, state, instance_state(other))  # type: ignore[misc]


def _values(one: RelationshipProperty[Any], state: InstanceState[Any], other: InstanceState[Any]) -> tuple[Any, ...]:
    found: dict[Any, Any] = {}
    for pairs, side in ((one.synchronize_pairs, state), (one.secondary_synchronize_pairs or (), other)):
        for theirs, ours in pairs:
            found[ours] = _value(side, theirs)
    key: Any = one.secondary.primary_key if one.secondary is not None else ()
    return tuple(found.get(column) for column in key)


def _value(state: InstanceState[Any], column: Any) -> Any:
    """As it is now, or, of an object that is gone, as it was."""
    key = state.mapper.get_property_by_column(column).key
    return state.dict[key] if key in state.dict else getattr(state.obj(), key)
