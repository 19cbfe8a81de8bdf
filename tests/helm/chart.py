"""
The chart as Helm renders it.

Knows the command line of Helm; knows nothing of what the objects are for.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.services import golang

CHART = Path(__file__).parents[2] / "helm" / "meepo2-cdc"
VALUES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
"""The values that are tried, by name."""
KUBERNETES = "1.31.0"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """What Helm answered."""

    code: int
    out: str
    err: str


def helm(*arguments: str, values: str = "") -> Said:
    """One command of Helm; `values` are given as a file."""
    command = [str(golang.helm()), *arguments, *(["--values", "-"] if values else [])]
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=60)
    return Said(done.returncode, done.stdout, done.stderr)


def template(values: str, kubernetes: str = KUBERNETES) -> Said:
    """The objects as text, or why there are none."""
    return helm("template", "shop", str(CHART), "--kube-version", kubernetes, "--namespace", "data", values=values)


@cache
def text(name: str, kubernetes: str = KUBERNETES) -> str:
    """The objects of one of the values that are tried."""
    said = template(VALUES[name].read_text(), kubernetes)
    assert said.code == 0, said.err
    return said.out


def objects(text: str) -> list[Object]:
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(kind: str, all_of_them: Iterable[Object]) -> dict[str, Object]:
    """Those of a kind, by name."""
    return {one["metadata"]["name"]: one for one in all_of_them if one["kind"] == kind}


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod of a Deployment runs, and with what."""

    name: str
    arguments: list[str]
    settings: str
    """The text of its settings file."""
    variables: Mapping[str, str]
    """Its environment, without what comes out of Secrets."""
    secrets: Mapping[str, str]
    """Variables that come out of Secrets, each with NAME/KEY of the Secret."""


def pods(all_of_them: list[Object]) -> Iterator[Pod]:
    settings = of_kind("ConfigMap", all_of_them)
    for name, deployment in of_kind("Deployment", all_of_them).items():
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        secrets = {
            one["name"]: "/".join(one["valueFrom"]["secretKeyRef"][part] for part in ("name", "key"))
            for one in container["env"]
            if "valueFrom" in one
        }
        yield Pod(name, container["args"], settings[name]["data"]["settings.toml"], variables, secrets)
