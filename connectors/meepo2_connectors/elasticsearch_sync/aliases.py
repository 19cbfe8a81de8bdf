"""
The aliases under which indexes are searched, and their switch to other indexes in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from meepo2_cdc.errors import ConfigError
from meepo2_connectors.elasticsearch_sync.indexes import mark_of


@dataclass(frozen=True, slots=True)
class Switch:
    """An alias, the index that it shall name, the indexes that it names now, and whether an index has its name."""

    alias: str
    index: str
    now: Sequence[str]
    is_index: bool

    @property
    def is_done(self) -> bool:
        return list(self.now) == [self.index]


def planned(client: Elasticsearch, prefix: str, suffix: str) -> list[Switch]:
    """What is to be done for each index with this suffix that was made for this prefix; raises ApiError."""
    if not suffix:
        raise ConfigError("aliases are for indexes with a suffix", fix="Set [elasticsearch_sync] index_suffix.")
    found = client.indices.get(index=f"*-{suffix}", filter_path="*.mappings._meta", expand_wildcards="open").body
    ours = {index: mark for index, one in found.items() if (mark := mark_of(one)).get("prefix") == prefix}
    if not ours:
        raise ConfigError(
            f"there is no index *-{suffix} that was made for the prefix {prefix!r}",
            fix="Let the connector fill them first, with the same [elasticsearch_sync] index_suffix.",
        )
    return [_planned(client, mark["alias"], index) for index, mark in sorted(ours.items())]


def _planned(client: Elasticsearch, alias: str, index: str) -> Switch:
    asked = client.options(ignore_status=404)
    named = asked.indices.get(index=alias, filter_path="*.settings.index.uuid").body
    now = sorted(one for one in named if one != alias)
    return Switch(alias, index, now, is_index=alias in named)


def switch(client: Elasticsearch, plan: Sequence[Switch], *, remove_indexes: bool) -> None:
    """All at once: whoever searches meets the old documents or the new, never none; raises ApiError."""
    in_the_way = [one.alias for one in plan if one.is_index]
    if in_the_way and not remove_indexes:
        raise ConfigError(
            f"{', '.join(in_the_way)}: there is an index of that name, where an alias shall be",
            fix="It was made without index_suffix.  To remove it in the same step, with all its documents, add\n"
            "--remove-indexes.",
        )
    actions = [action for one in plan if not one.is_done for action in _actions(one)]
    if actions:
        client.indices.update_aliases(actions=actions)


def _actions(one: Switch) -> list[dict[str, Any]]:
    removed = [{"remove": {"index": index, "alias": one.alias}} for index in one.now if index != one.index]
    replaced = [{"remove_index": {"index": one.alias}}] if one.is_index else []
    return [*removed, *replaced, {"add": {"index": one.index, "alias": one.alias}}]
