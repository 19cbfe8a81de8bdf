"""
Whether the connectors that are set up could run: their modules, their settings, their targets.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from meepo2_cdc.checks import Finding
from meepo2_cdc.config import CONNECTORS, Settings
from meepo2_cdc.errors import Error
from meepo2_cdc.replay.connectors import Chosen, choose
from meepo2_cdc.replay.sink import TryAgain

_SERVICE_LINK = re.compile(r"(SERVICE_HOST|SERVICE_PORT|PORT)(_.*)?")
"""What Kubernetes sets for a service of the connector's name."""


def inspect(settings: Settings, config: Path | None, environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    for name in set_up(config, os.environ if environment is None else environment):
        yield _connector(name, settings, config)


def set_up(config: Path | None, environment: Mapping[str, str]) -> list[str]:
    """Those that have a section in the file, or a variable."""
    path = config or (Path(environment["MEEPO2_CONFIG"]) if environment.get("MEEPO2_CONFIG") else None)
    sections = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    return sorted(
        one.name
        for one in entry_points(group=CONNECTORS)
        if one.name in sections or _in_variables(one.name, environment)
    )


def _in_variables(name: str, environment: Mapping[str, str]) -> bool:
    start = f"MEEPO2_{name.upper()}_"
    given = [one.removeprefix(start) for one, value in environment.items() if one.startswith(start) and value]
    return any(not _SERVICE_LINK.fullmatch(one) for one in given)


def _connector(name: str, settings: Settings, config: Path | None) -> Finding:
    try:
        chosen = replace(choose(name, config=config), settings=settings)
        found = _opened(chosen)
    except Error as error:
        return Finding("connector", f"{name}: {error.found}", False, fix=error.fix or f"See [{name}] in the settings.")
    except TryAgain as error:
        return Finding("connector", f"{name}: {error.why}", False, fix="`run` would try again until it answers.")
    return Finding("connector", f"{name}: {found}", True)


def _opened(chosen: Chosen) -> str:
    """One that listens may be running, and its address taken by itself."""
    if getattr(chosen.own, "bind", None):
        return f"listens on {chosen.own.bind}, which was not tried"  # type: ignore[attr-defined]  # as just asked
    sink = chosen.sink()
    sink.open()
    sink.close()
    return "its target answers"
