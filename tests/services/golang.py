"""
Programs that are built from Go modules, once for all trees on this machine.
"""

import json
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services import browser, downloads, places
from tests.services.addresses import VARIABLES
from tests.services.running import Command, program, run

HELM_VERSION = "v3.16.4"
# What a released Helm takes for the cluster's version where none is asked; without it charts think of Kubernetes 1.20.
HELM_FLAGS = " ".join(
    f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}"
    for package in ("chartutil", "lint/rules")
    for part in ("Major=1", "Minor=31")
)
KUBERNETES_VERSION = "v1.34.4"
ETCD_VERSION = "v3.6.13"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that tests run; `path` gets it if need be, which can take minutes."""

    name: str
    path: Callable[[], Path]

    @property
    def variable(self) -> str:
        return VARIABLES[self.name]


def helm() -> Path:
    """Helm 3: the one that was given, else of one version, since what templates give depends on it."""
    given = os.environ.get(VARIABLES["helm"])
    return Path(given) if given else _built("helm", "helm.sh/helm/v3/cmd/helm", HELM_VERSION, HELM_FLAGS)


def kube_apiserver() -> Path:
    """The API server of Kubernetes, for `make kubernetes`; built in about eight minutes."""
    return _built_as_part(
        "kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes", KUBERNETES_VERSION
    )


def etcd() -> Path:
    """What the API server keeps its objects in."""
    return _built_as_part("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", ETCD_VERSION)


def _built(name: str, package: str, version: str, flags: str) -> Path:
    def fill(new: Path) -> None:
        downloads.announce(f"{package}@{version}, which is built in about three minutes")
        with TemporaryDirectory(dir=new.parent) as elsewhere:  # in a tree with a go.mod, Go would look at that
            _go(Path(elsewhere), "install", f"-ldflags=-s -w {flags}", f"{package}@{version}", GOBIN=str(new))

    return places.cached(f"{name}-{version}-{zlib.crc32(flags.encode()):08x}", fill) / name


def _built_as_part(name: str, package: str, module: str, version: str) -> Path:
    """
    Of a module that has `replace` lines, which `go install` refuses: as part of a module that is made for it.

    Kubernetes requires its parts as v0.0.0 and replaces them by its directories; here they are those released with it.
    """

    def fill(new: Path) -> None:
        downloads.announce(f"{module}@{version}, which is built")
        with TemporaryDirectory(dir=new.parent) as elsewhere:
            place = Path(elsewhere)
            told = json.loads(_go(place, "mod", "download", "-json", f"{module}@{version}"))
            parts = re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0$", Path(told["GoMod"]).read_text(), re.MULTILINE)
            released = [f"replace {part} => {part} v0.{version.removeprefix('v1.')}\n" for part in parts]
            (place / "go.mod").write_text(f"module of_tests\n\nrequire {module} {version}\n{''.join(released)}")
            _go(place, "build", "-ldflags=-s -w", "-o", str(new / name), package)

    return places.cached(f"{name}-{version}", fill) / name


def _go(place: Path, *arguments: str, **variables: str) -> str:
    go = program("go", "Go (golang-go)")
    return run(Command([go, *arguments], {"GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", **variables}), cwd=place)


PROGRAMS = {one.name: one for one in (Program("helm", helm), Program("chromium", browser.chromium))}
