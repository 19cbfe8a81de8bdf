"""
The text of a settings file: what was answered, and every other setting as a comment with its default.

Made from the settings' own models, so that it cannot fall behind them.  A secret is a file's name or a variable's.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from meepo2_cdc.config import CaptureSettings, RunSettings, Settings, SourceSettings, TopicsSettings

if TYPE_CHECKING:
    from meepo2_cdc.replay.sink import AnyConnector

_SECTIONS: dict[str, type[BaseModel]] = {
    "source": SourceSettings,
    "capture": CaptureSettings,
    "topics": TopicsSettings,
}
_HEAD = """\
# Settings of meepo2-cdc, written by `meepo2-cdc init`.
#
# What is behind a # has that default, or none where there is `...`.  Flags and MEEPO2_* variables win over this file.
# ${NAME} is a variable of the environment, so that no secret need stand here; most secrets can be files too.
#
#     meepo2-cdc check --config FILE      what is missing, with the statement that mends it
#     meepo2-cdc capture --config FILE
"""

Answers = Mapping[str, Any]
"""By `section.setting`, or `setting` at the top; a Variable where the value is taken from the environment."""


class Variable(str):
    """A text in which ${NAME} is meant."""


def text(answers: Answers, kafka: Mapping[str, str], connectors: Mapping[str, AnyConnector]) -> str:
    parts = [_HEAD, *_settings(Settings, "", answers), ""]
    parts += ["[kafka]", "# Options of librdkafka, by their own names."]
    parts += [f"{_key(name)} = {_toml(value)}" for name, value in kafka.items()]
    sections: dict[str, type[BaseModel]] = dict(_SECTIONS)
    if connectors:
        sections["run"] = RunSettings
    for name, model in sections.items():
        parts += ["", f"[{name}]", *_settings(model, name, answers)]
    for name, connector in connectors.items():
        parts += ["", f"# {connector.summary}", f"[{name}]", *_settings(connector.settings, name, answers)]
    return "\n".join(parts) + "\n"


def _settings(model: type[BaseModel], section: str, answers: Answers) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name == "kafka" or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            continue
        given = answers.get(f"{section}.{name}" if section else name)
        yield from _described(field)
        yield f"{name} = {_toml(given)}" if given is not None else f"#{name} = {_default(field)}"


def _described(field: FieldInfo) -> Iterable[str]:
    said = " ".join((field.description or "").split())
    return ["", *textwrap.wrap(said, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)]


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default is PydanticUndefined or _is_secret(field):
        return "..."
    return _toml(field.default)


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def needed(model: type[BaseModel]) -> Sequence[str]:
    """Settings for which there is no default, or one with a secret's place in it."""
    return [
        name
        for name, field in model.model_fields.items()
        if field.is_required() or (field.annotation is SecretStr and field.default is not None)
    ]


def _key(name: str) -> str:
    return name if all(part.replace("_", "a").replace("-", "a").isalnum() for part in name.split(".")) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Variable):
        return _quoted(str(value))
    if isinstance(value, Enum):
        return _toml(value.value)
    if isinstance(value, str | Path):
        return _quoted(str(value).replace("${", "$${"))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_quoted(str(name))} = {_toml(one)}" for name, one in value.items()) + " }"
    return str(value)


def _quoted(value: str) -> str:
    """JSON's strings are TOML's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
