"""
Which of the settings are secrets, as the texts that must not be shown.

Knows where they are: SecretStr fields, passwords within addresses, options of librdkafka by their names, and files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

_KAFKA_SECRET = re.compile(r"password|passphrase|secret|key\.pem|keystore\.|oauthbearer\.config|jaas")
_SECRET_FILES = ("dsn_file", "password_file")


def secrets_in(*models: BaseModel) -> set[str]:
    """All of them, those in files too; a file that cannot be read is complained of by who needs it."""
    return {text for model in models for text in _in_value(model) if text}


def _in_value(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        for field, inner in value:
            yield from _in_kafka(inner) if field == "kafka" and isinstance(inner, Mapping) else _in_value(inner, field)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
        yield from _password_in(value.get_secret_value())
    elif isinstance(value, Path) and name in _SECRET_FILES:
        yield from _in_file(value)
    elif isinstance(value, str):
        yield from _password_in(value)
    elif isinstance(value, Mapping):
        yield from _in_each(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _in_each(value)


def _in_each(values: Iterable[Any]) -> Iterator[str]:
    for one in values:
        yield from _in_value(one)


def _in_kafka(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if _KAFKA_SECRET.search(name) and not name.endswith((".location", ".mechanism")):
            yield str(value)


def _in_file(path: Path) -> Iterator[str]:
    with suppress(OSError, UnicodeDecodeError):
        text = path.read_text(encoding="utf-8").strip()
        yield text
        yield from _password_in(text)


def _password_in(text: str) -> Iterator[str]:
    """Of an address; one that is also its user, host or database is no secret, and common as a word."""
    if "://" not in text:
        return
    with suppress(ValueError):
        parts = urlsplit(text)
        told = {parts.username, parts.hostname, parts.path.strip("/")}
        if parts.password and parts.password not in told:
            yield parts.password
            yield unquote(parts.password)
