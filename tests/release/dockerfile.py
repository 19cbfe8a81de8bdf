"""
The Dockerfile, read, and its stages built in a directory where no Docker is.

A RUN line is run by sh with its absolute paths moved below a directory; COPY copies, from the files that
.dockerignore lets through.  What base images bring (python, pip, sh) is this machine's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_CONTINUED = re.compile(r"\\\n(?:\s*#.*\n)*")
_MOUNT = re.compile(r"--mount=\S+\s*")
_OURS = re.compile(r"(?<![\w.:/])(file://)?/(src|opt|tmp)\b")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: RUN, COPY, ENV ... and what follows it."""

    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next."""

    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, name: str) -> str:
        return [step.rest for step in self.steps if step.name == name][-1]

    def pairs(self, name: str) -> dict[str, str]:
        """NAME=value of all LABEL or ENV instructions."""
        words = [word for step in self.steps if step.name == name for word in shlex.split(step.rest)]
        return dict(word.split("=", 1) for word in words)


def stages() -> list[Stage]:
    found: list[Stage] = []
    for step in _steps():
        if step.name == "FROM":
            words = step.rest.split()
            found.append(Stage(words[2] if len(words) == 3 else ""))
        elif found:
            found[-1].steps.append(step)
    return found


def _steps() -> Iterator[Step]:
    text = "".join(line for line in (REPOSITORY / "Dockerfile").read_text().splitlines(True) if line[:1] != "#")
    for line in _CONTINUED.sub(" ", text).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield Step(name, " ".join(rest.split()))


def build(stage: Stage, root: Path, environment: Mapping[str, str]) -> None:
    """The stage below `root`: /opt of the image is `root`/opt."""
    workdir = root
    for step in stage.steps:
        if step.name == "WORKDIR":
            workdir = root / step.rest.lstrip("/")
            workdir.mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            _copy(step.rest.split(), root, workdir)
        elif step.name == "RUN":
            _run(below(root, _MOUNT.sub("", step.rest)), workdir, environment)


def below(root: Path, text: str) -> str:
    """The image's paths in a text, as paths below `root`."""
    return _OURS.sub(lambda match: f"{match[1] or ''}{root}/{match[2]}", text)


def _run(command: str, workdir: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-euc", command], cwd=workdir, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def _copy(words: list[str], root: Path, workdir: Path) -> None:
    """All stages lie below the same root, so what keeps its place is there already."""
    *options, target = words
    place = root / target.lstrip("/") if target.startswith("/") else workdir / target
    if options[0].startswith("--from="):
        source = root / options[1].lstrip("/")
        if source != place:
            shutil.copytree(source, place, symlinks=True)
        return
    for name in options:
        assert lets_through(name), f".dockerignore keeps {name} from the builder"
        if (source := REPOSITORY / name).is_dir():
            shutil.copytree(source, place, symlinks=True, ignore=_ignored, dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def lets_through(name: str) -> bool:
    """Whether .dockerignore lets what lies at the top, or below a directory there, through: the last line that fits."""
    through = True
    for line in _ignore_lines():
        if fnmatch(name.split("/")[0], line.removeprefix("!")):
            through = line.startswith("!")
    return through


def _ignored(_: str, names: list[str]) -> list[str]:
    patterns = [line.removeprefix("**/") for line in _ignore_lines() if line.startswith("**/")]
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


def _ignore_lines() -> list[str]:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def environment_of(stage: Stage, root: Path) -> dict[str, str]:
    """The variables that a container of the stage has, its paths below `root`."""
    given = {name: below(root, value) for name, value in stage.pairs("ENV").items()}
    return {name: value.replace("$PATH", os.defpath) for name, value in given.items()}
