"""
The schema registry: schemas registered under `<topic>-key` and `<topic>-value`, and looked up by their number.

Speaks the Confluent API through confluent-kafka's own client.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import fastavro
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from meepo2_cdc.errors import ConfigError, Error, UnreadableData
from meepo2_cdc.records.avro import confluent_header, schema_text

_SILENT: tuple[type[Exception], ...] = (
    OSError,
    *(import_module(name).HTTPError for name in ("httpx2", "httpx") if find_spec(name)),
)
"""What confluent-kafka lets through when nobody answers: errors of its HTTP library, which are no OSErrors."""
_NO_ANSWER: tuple[type[Exception], ...] = (SchemaRegistryError, *_SILENT)


_ANSWER_SECONDS = 10
_NOT_FOUND = 404


@lru_cache(8)
def _client(url: str) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": url, "timeout": _ANSWER_SECONDS})


def header_of(url: str, subject: str, name: str) -> bytes:
    """Registers the released schema `name` under the subject; the bytes that go in front of its records."""
    try:
        schema_id = _client(url).register_schema(subject, Schema(schema_text(name), "AVRO"))
    except SchemaRegistryError as error:
        raise ConfigError(f"the schema registry refused {name} under {subject}: {error.error_message}") from error
    except _SILENT as error:
        raise _unreachable(url, error) from error
    return confluent_header(schema_id)


def refusal(url: str, subject: str, name: str) -> str | None:
    """Why the registry would not take the released schema `name` under the subject; None where it would."""
    try:
        fits = _client(url).test_compatibility(subject, Schema(schema_text(name), "AVRO"))
    except SchemaRegistryError as error:
        if error.http_status_code == _NOT_FOUND:  # nothing is under the subject yet
            return None
        return f"the registry cannot compare {name} with {subject}: {error.error_message}"
    except _SILENT as error:
        return f"the registry does not answer: {type(error).__name__}"
    return None if fits else f"{subject} is not compatible with {name}"


def is_reachable(url: str) -> bool:
    """Whether the registry answers a harmless question."""
    try:
        _client(url).get_subjects()
    except _NO_ANSWER:
        return False
    return True


def schema_of_id(url: str) -> Callable[[int], dict[str, Any]]:
    """A look-up of writer schemas by their number in this registry."""
    client = _client(url)

    def look_up(schema_id: int) -> dict[str, Any]:
        try:
            found = client.get_schema(schema_id)
        except SchemaRegistryError as error:
            raise UnreadableData(f"the schema registry has no schema {schema_id}: {error.error_message}") from error
        except _SILENT as error:
            raise _unreachable(url, error) from error
        return cast(dict[str, Any], fastavro.parse_schema(json.loads(found.schema_str or "null")))

    return look_up


def _unreachable(url: str, error: Exception) -> Error:
    at = url.rsplit("@", 1)[-1]
    return Error(f"the schema registry at {at} does not answer: {type(error).__name__}")
