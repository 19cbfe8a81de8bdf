"""
Where settings are read: the TOML file and the environment, each setting with its origin.

Knows names, not types; a name that no setting has is refused with the nearest one that exists.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from meepo2_cdc.errors import ConfigError

Name = tuple[str, ...]
"""A setting's name: ("prefix",) or ("source", "dsn") or ("kafka", "bootstrap.servers")."""

_NOT_SETTINGS = re.compile(r"MEEPO2_(TEST_.*|CONFIG|DEBUG)")
# Kubernetes sets such variables for every service of the namespace, so a service named meepo2-capture would
# otherwise keep the capture from starting.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)")


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody gave; `origin` is how they find it again: a flag, a variable, a place in a file."""

    path: Name
    value: Any = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The names there are."""

    top: tuple[str, ...]
    sections: Mapping[str, tuple[str, ...]]
    replaces: Mapping[Name, Name]
    """Settings of which one is given in place of the other."""
    foreign: Callable[[], Container[str]]
    """Sections that a file may have and somebody else reads; asked for only where one is met."""


def merged(layout: Layout, *layers: Sequence[Given]) -> dict[Name, Given]:
    """The last layer that gives a setting wins; a dsn drops an earlier layer's dsn_file, and the reverse."""
    result: dict[Name, Given] = {}
    for layer in layers:
        names = {one.path for one in layer}
        for one in layer:
            other = layout.replaces.get(one.path)
            if other in names:
                both = " and ".join(".".join(path) for path in sorted((one.path, other)))
                raise ConfigError(f"{both} are both set; keep one", fix=f"In {one.origin}.")
            if other:
                result.pop(other, None)
            result[one.path] = one
    return result


def from_environment(environment: Mapping[str, str], layout: Layout) -> list[Given]:
    """The `MEEPO2_*` variables; an empty one counts as not set."""
    return [
        Given(path, value, variable)
        for variable, value in environment.items()
        if variable.startswith("MEEPO2_") and value and not _NOT_SETTINGS.fullmatch(variable)
        if (path := _named_by(variable, layout)) is not None
    ]


def _named_by(variable: str, layout: Layout) -> Name | None:
    name = variable.removeprefix("MEEPO2_").lower()
    if name in layout.top:
        return (name,)
    section = next((one for one in layout.sections if name.startswith(f"{one}_")), name.partition("_")[0])
    rest = name.removeprefix(section).removeprefix("_")
    if rest in layout.sections.get(section, ()):
        return section, rest
    if _SERVICE_LINK.fullmatch(variable):
        return None
    if section == "kafka" and rest:
        return section, rest.replace("_", ".")
    if section in layout.sections:
        raise _unknown_in(section, rest, layout, variable)
    sections = reversed(list(layout.sections.items()))  # the first that has such a setting is meant
    full = {setting: f"{of}_{setting}" for of, settings in sections for setting in settings}
    full["bootstrap_servers"] = "kafka_bootstrap_servers"
    if name in full:
        raise ConfigError(f"{variable} is no setting; did you mean MEEPO2_{full[name].upper()}?")
    near = get_close_matches(name, layout.top, n=1, cutoff=0.8)
    if near:
        raise ConfigError(f"{variable} is no setting; did you mean MEEPO2_{near[0].upper()}?")
    return None  # somebody else's variable


def from_file(path: Path, layout: Layout, environment: Mapping[str, str]) -> list[Given]:
    """The settings in a TOML file, `${VAR}` in its strings replaced."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # TOML's and UTF-8's errors
        raise ConfigError(f"the configuration file {path} is not TOML: {error}") from error
    return [
        Given(name, _filled_in(value, environment, origin), origin)
        for name, value in _leaves(tree, layout, str(path))
        for origin in [f"{path}: {_as_written(name)}"]
    ]


def _leaves(tree: dict[str, Any], layout: Layout, file: str) -> Iterator[tuple[Name, Any]]:
    for key, value in tree.items():
        if key in layout.top:
            yield (key,), value
        elif key == "kafka" and isinstance(value, dict):
            yield from ((("kafka", option), text) for option, text in _flat(value))
        elif key in layout.sections and isinstance(value, dict):
            for setting, inner in value.items():
                if setting not in layout.sections[key]:
                    raise _unknown_in(key, setting, layout, file)
                yield (key, setting), inner
        elif not isinstance(value, dict) or key not in layout.foreign():
            raise _unknown_at_top(key, layout, file)


def _flat(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """`bootstrap.servers = ...` unquoted is a table in a table; librdkafka's name is the dotted one again."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{rest}", text) for rest, text in _flat(value))
        elif isinstance(value, list):
            yield key, ",".join(map(str, value))
        else:
            yield key, str(value).lower() if isinstance(value, bool) else str(value)


def _filled_in(value: Any, environment: Mapping[str, str], origin: str) -> Any:
    """`${VAR}` replaced, in lists and tables too; `$${` stands for a plain `${`."""
    if isinstance(value, list):
        return [_filled_in(one, environment, origin) for one in value]
    if isinstance(value, dict):
        return {name: _filled_in(one, environment, origin) for name, one in value.items()}
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] not in environment:
            raise ConfigError(f"{origin} uses ${{{match[1]}}}, and no such variable is set")
        return environment[match[1]]

    return re.sub(r"\$\$\{|\$\{(\w+)\}", found, value)


def _as_written(name: Name) -> str:
    return name[0] if len(name) == 1 else f"[{name[0]}] {name[1]}"


def _unknown_in(section: str, setting: str, layout: Layout, where: str) -> ConfigError:
    own = layout.sections[section]
    hint = f"; its settings are {', '.join(own)}"
    for other, names, cutoff in [
        (section, own, 0.8),
        *((*one, 0.8) for one in layout.sections.items()),
        (section, own, 0.6),
    ]:
        near = get_close_matches(setting, names, n=1, cutoff=cutoff)
        if near:
            hint = f"; did you mean {near[0]!r}" + ("?" if other == section else f" of [{other}]?")
            break
    return ConfigError(f"[{section}] has no setting {setting!r}{hint}", fix=f"In {where}.")


def _unknown_at_top(key: str, layout: Layout, where: str) -> ConfigError:
    names = (*layout.top, *layout.sections, "kafka")
    if key in names:
        return ConfigError(f"{key!r} is a section, and was given a value; write [{key}]", fix=f"In {where}.")
    near = get_close_matches(key, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
    return ConfigError(f"there is no setting or section {key!r}{hint}", fix=f"In {where}.")
