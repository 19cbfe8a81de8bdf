"""
The indexes of tables: their names, and that each is there before the first document.

An index that is made here tells in `_meta.meepo2_cdc` of its mapping which table it is of, so that no second one is
mixed into it, by whatever process, and so that the switch of aliases finds it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from string import Formatter
from typing import Any

from elasticsearch import BadRequestError, Elasticsearch

from meepo2_cdc.errors import ConfigError
from meepo2_connectors.elasticsearch_sync.client import NAME, detail

MARK = "meepo2_cdc"
"""What is ours in the `_meta` of a mapping."""

_FIELDS = ("prefix", "schema", "table")
# https://www.elastic.co/guide/en/elasticsearch/reference/8.19/indices-create-index.html, and control characters
_ILLEGAL = re.compile(r"[\x00-\x20\x7f\\/*?\"<>|,#:%]|\s")
_MOST_BYTES = 255
_WANTED = "*.mappings._meta,*.settings.index.gc_deletes,*.defaults.index.gc_deletes"
_SLACK_SECONDS = 1.0
"""Elasticsearch looks at its clock every 200 ms only (thread_pool.estimated_time_interval)."""
_SECONDS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class IndexNames:
    """Names by a template of str.format with {prefix}, {schema} and {table}."""

    def __init__(self, template: str, prefix: str, suffix: str) -> None:
        """Raises ValueError for a template in which the table does not occur."""
        _refuse_unusable(template)
        self._template = template
        self._prefix = prefix
        self._suffix = suffix

    def alias(self, schema: str, table: str) -> str:
        """What is searched: the name without the suffix."""
        name = self._template.format(prefix=self._prefix, schema=schema, table=table)
        name = _ILLEGAL.sub("_", name.lower()).lstrip("-_+.")
        if not name or len(f"{name}-{self._suffix}".encode()) > _MOST_BYTES:
            raise ConfigError(
                f"no index can be named for {schema}.{table}: {name!r} is {'too long' if name else 'empty'}",
                fix="Give another [elasticsearch_sync] index, or leave the table out by `tables`.",
            )
        return name

    def index(self, schema: str, table: str) -> str:
        """What is written to."""
        name = self.alias(schema, table)
        return f"{name}-{self._suffix}" if self._suffix else name


class Indexes:
    """Each index is looked at once, and made where it is missing; serves any number of threads."""

    def __init__(self, client: Elasticsearch, names: IndexNames, prefix: str, late_seconds: float) -> None:
        self._client = client
        self._names = names
        self._prefix = prefix
        self._late_seconds = late_seconds
        self._ready: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def of(self, schema: str, table: str) -> str:
        """The name of the table's index, which exists; ConfigError where it cannot be used for this table."""
        ready = self._ready.get((schema, table))
        if ready is not None:
            return ready
        with self._lock:
            ready = self._ready.get((schema, table)) or self._prepared(schema, table)
            self._ready[schema, table] = ready
            return ready

    def forget(self, index: str) -> None:
        """It is gone: it is made again before anything is written."""
        with self._lock:
            self._ready = {table: name for table, name in self._ready.items() if name != index}

    def _prepared(self, schema: str, table: str) -> str:
        index = self._names.index(schema, table)
        self._refuse_shared(index, schema, table)
        found = self._found(index) or self._made(index, schema, table)
        self._refuse_owned(found, index, f"{schema}.{table}")
        self._refuse_forgetful(found, index)
        return index

    def _found(self, index: str) -> dict[str, Any]:
        """By the true name of each index that has this name or alias, its mark and settings."""
        answer = self._client.options(ignore_status=404).indices.get(
            index=index, include_defaults=True, filter_path=_WANTED
        )
        found: dict[str, Any] = answer.body if answer.meta.status == 200 else {}
        if len(found) > 1:
            raise ConfigError(
                f"{index} is an alias of {len(found)} indexes: {', '.join(sorted(found))}",
                fix="Rows are written to one index.  Give another [elasticsearch_sync] index or index_suffix.",
            )
        return found

    def _made(self, index: str, schema: str, table: str) -> dict[str, Any]:
        mark = {"prefix": self._prefix, "table": f"{schema}.{table}", "alias": self._names.alias(schema, table)}
        try:
            self._client.indices.create(index=index, mappings={"_meta": {MARK: mark}})
        except BadRequestError as error:
            if error.message != "resource_already_exists_exception":  # by another process, just now
                raise ConfigError(f"{NAME} refuses to make the index {index}: {detail(error)}") from error
        return self._found(index)

    def _refuse_shared(self, index: str, schema: str, table: str) -> None:
        other = next((".".join(name) for name, known in self._ready.items() if known == index), None)
        if other is not None:
            raise _shared(index, other, f"{schema}.{table}")

    @staticmethod
    def _refuse_owned(found: Mapping[str, Any], index: str, table: str) -> None:
        for one in found.values():
            owner = one.get("mappings", {}).get("_meta", {}).get(MARK, {}).get("table", table)
            if owner != table:
                raise _shared(index, owner, table)

    def _refuse_forgetful(self, found: Mapping[str, Any], index: str) -> None:
        for one in found.values():
            text = (one.get("settings") or one.get("defaults", {})).get("index", {}).get("gc_deletes", "60s")
            if _seconds(text) < self._late_seconds + _SLACK_SECONDS:
                raise ConfigError(
                    f"{index} forgets deletes after {text} (index.gc_deletes), "
                    f"and late_seconds is {self._late_seconds:g}",
                    fix="A row that was deleted could come back.  Let the one be longer than the other by a second.",
                )


def mark_of(index: Mapping[str, Any]) -> Mapping[str, str]:
    """What we said of an index when we made it, from its mapping; empty where it is none of ours."""
    found: Mapping[str, str] = index.get("mappings", {}).get("_meta", {}).get(MARK, {})
    return found


def _shared(index: str, owner: str, table: str) -> ConfigError:
    return ConfigError(
        f"{index} is the index of {owner}, and would be that of {table} too",
        fix="Names differ in more than upper case and special characters only where [elasticsearch_sync] index lets\n"
        "them.  Change it, or leave one of the tables out by `tables`.",
    )


def _seconds(text: str) -> float:
    """A time value as Elasticsearch writes it: 60s, 1h, 500ms; -1 is for ever."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    if found is None or found[2] not in _SECONDS:
        return float("inf") if text == "-1" else 0.0
    return float(found[1]) * _SECONDS[found[2]]


def _refuse_unusable(template: str) -> None:
    pieces = list(Formatter().parse(template))
    fields = [field for _, field, _, _ in pieces if field is not None]
    unknown = [field for field in fields if field not in _FIELDS]
    if unknown:
        raise ValueError(f"there is no {{{unknown[0]}}}; there are {', '.join(f'{{{one}}}' for one in _FIELDS)}")
    if "table" not in fields:
        raise ValueError("expected {table} somewhere")
    if any(conversion or form for _, _, form, conversion in pieces):
        raise ValueError("expected plain fields, without ! and : in them")
