"""
Which connectors are installed, and one of them with its settings.

Found by the entry-point group `meepo2_cdc.connectors`, so anybody's package can bring some; none is imported to be
found, only to be used or to be asked what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from meepo2_cdc.config import CONNECTORS, Given, Settings, load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import AnyConnector, Connector, ConnectorSettings, Context, Replica, Sink


@dataclass(frozen=True, slots=True)
class Chosen:
    """A connector, ready to make its sink."""

    name: str
    connector: AnyConnector
    settings: Settings
    own: ConnectorSettings

    def sink(self) -> Sink:
        return self.connector.sink(self.own, self._context)

    def replica(self) -> Replica:
        """Raises ConfigError for a connector whose target cannot be compared."""
        if self.connector.replica is None:
            raise ConfigError(f"what {self.name} delivers is not kept where it could be compared with the source")
        return self.connector.replica(self.own, self._context)

    @property
    def _context(self) -> Context:
        return Context(self.settings.prefix, self.source_rows)

    def source_rows(self) -> Any:
        from meepo2_cdc.replay.rows import SourceRows

        return SourceRows.from_source(self.settings.source)

    @property
    def rows(self) -> bool:
        """Whether it reads the topics of rows too."""
        return self.connector.rows(self.own)

    @property
    def group(self) -> str:
        return self.settings.run.group or f"{self.settings.prefix}.{self.name}"


@dataclass(frozen=True, slots=True)
class Installed:
    """What the list of connectors shows."""

    name: str
    package: str
    summary: str | None
    lacks: str | None
    """The module that is not there, or what else keeps it from being loaded."""


def choose(name: str, flags: Iterable[Given] = (), config: Path | None = None) -> Chosen:
    """The connector of that name; raises ConfigError where there is none, where it lacks something or is not set up."""
    known, connector = named(name)
    settings, own = load_with(known, connector.settings, flags, config)
    return Chosen(known, connector, settings, own)


def named(name: str) -> tuple[str, AnyConnector]:
    """The connector, and its name as settings have it; raises ConfigError where it is not installed."""
    found = {one.name: one for one in entry_points(group=CONNECTORS)}
    known = name.replace("-", "_")
    if known not in found:
        near = get_close_matches(known, found, n=1)
        there = f"did you mean {near[0]}?" if near else f"installed are {', '.join(sorted(found)) or 'none'}"
        raise ConfigError(f"there is no connector {name!r}; {there}")
    return known, _loaded(found[known])


def installed() -> list[Installed]:
    """Every connector there is, by name."""
    return [_looked_at(one) for one in sorted(entry_points(group=CONNECTORS), key=lambda one: one.name)]


def _loaded(entry: EntryPoint) -> AnyConnector:
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        package = entry.dist.name if entry.dist else entry.value
        raise ConfigError(
            f"the connector {entry.name} needs the module {error.name}, which is not installed",
            fix=f"pip install '{package}[{entry.name.replace('_', '-')}]'",
        ) from error
    if not isinstance(loaded, Connector):
        raise ConfigError(f"{entry.value}, named as the connector {entry.name}, is no Connector")
    return loaded


def _looked_at(entry: EntryPoint) -> Installed:
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?"
    try:
        connector = _loaded(entry)
    except ConfigError as error:
        cause = error.__cause__
        lacks = str(cause.name) if isinstance(cause, ModuleNotFoundError) else error.found
        return Installed(entry.name, package, None, lacks)
    return Installed(entry.name, package, connector.summary, None)
