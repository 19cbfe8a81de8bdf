"""
Getting what servers are made of, through the ordinary clients: Maven and apt.  Needs no root.
"""

import ctypes
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import freedesktop_os_release

from tests.services import places
from tests.services.running import Command, Unavailable, program, run

DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
KEYRING = "usr/share/keyrings/debian-archive-keyring.gpg"


def announce(what: str) -> None:
    print(f"fetching {what}, once", file=sys.stderr, flush=True)


def maven(goal: str, *options: str, cwd: Path | None = None) -> None:
    """Run one goal of Maven's dependency plugin; one at a time, for the sake of its repository."""
    with places.locked(places.CACHE / "maven.lock"):
        mvn = program("mvn", "maven")
        run(Command([mvn, "-B", "-ntp", "-q", f"{DEPENDENCY_PLUGIN}:{goal}", *options]), cwd=cwd)


def maven_artifact(coordinates: str, directory: Path) -> Path:
    """Download one artifact (group:name:version:type:classifier) into `directory`."""
    announce(coordinates)
    maven("copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={directory}")
    return next(directory.iterdir())


def java() -> str:
    """A Java of 17 or newer, from JAVA_HOME or PATH."""
    home = os.environ.get("JAVA_HOME")
    path = program(f"{home}/bin/java" if home else "java", "Java 17 (openjdk-17-jre-headless)")
    said = run(Command([path, "-version"]))
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        raise Unavailable(f"needs Java 17 or newer; {path} says {said.splitlines()[:1]}. Set JAVA_HOME")
    return path


@dataclass(frozen=True, slots=True)
class Root:
    """Debian packages with all they depend on, unpacked beside the system and run by their own loader."""

    path: Path

    def command(self, name: str) -> list[str]:
        libraries = [*self.path.glob("lib/*-linux-gnu"), *self.path.glob("usr/lib/*-linux-gnu")]
        loader = next(path for directory in libraries for path in directory.glob("ld-linux-*.so.*"))
        return [str(loader), "--library-path", ":".join(map(str, libraries)), str(self.path / name)]


def debian_root(name: str, packages: Sequence[str], alone: Sequence[str] = (), sid: bool = False) -> Root:
    """
    A root of `packages` with their dependencies, and of those in `alone` without theirs.

    From the distribution this machine runs, whose release is part of the cached name, or from Debian sid.
    """

    def fill(new: Path) -> None:
        announce(f"{' '.join([*packages, *alone])} by apt")
        with tempfile.TemporaryDirectory() as temporary:
            apt = _private_apt(Path(temporary), sid)
            run(Command([*apt, "update"]))
            run(Command([*apt, "install", "--yes", "--download-only", "--no-install-recommends", *packages]))
            archives = Path(temporary, "cache/archives")
            if alone:
                run(Command([*apt, "download", *alone]), cwd=archives)
            _unpack(archives, new)

    return Root(places.cached(f"{name}-{'sid' if sid else _release()}", fill))


def _release() -> str:
    return freedesktop_os_release().get("VERSION_CODENAME", "unknown")


def _private_apt(directory: Path, sid: bool) -> list[str]:
    """An apt-get with its own lists and nothing installed: a plain user may run it and gets every library."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True)
    (directory / "status").touch()
    options = {
        "Dir::State": directory / "state",
        "Dir::State::status": directory / "status",
        "Dir::Cache": directory / "cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
    }
    if sid:
        source = directory / "sid.list"
        source.write_text(f"deb [signed-by={_keyring(directory)}] {_mirror()} sid main\n")
        options |= {"Dir::Etc::sourcelist": source, "Dir::Etc::sourceparts": "/dev/null"}
    settings = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return [program("apt-get", "apt (Debian or Ubuntu)"), "-qq", *settings]


def _mirror() -> str:
    """The Debian mirror this machine already uses, else Debian's own."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text() for path in files if path.is_file())
    found = re.search(r"https?://\S+/debian(?=/?\s)", text)
    return found[0] if found else "http://deb.debian.org/debian"


def _keyring(directory: Path) -> Path:
    """Debian's keys, which Ubuntu has in a package only."""
    if Path("/", KEYRING).exists():
        return Path("/", KEYRING)
    download = directory / "keyring"
    download.mkdir()
    run(Command([program("apt-get", "apt"), "-qq", "download", "debian-archive-keyring"]), cwd=download)
    _unpack(download, download)
    return download / KEYRING


def _unpack(archives: Path, into: Path) -> None:
    for archive in archives.glob("*.deb"):
        run(Command([program("dpkg-deb", "dpkg"), "-x", str(archive), str(into)]))


def library_path(name: str, sonames: Sequence[str], packages: Sequence[str]) -> str | None:
    """A directory with those libraries out of `packages`; None when the system has them all."""
    if all(_loads(soname) for soname in sonames):
        return None

    def fill(new: Path) -> None:
        root = debian_root(f"{name}-packages", packages)
        for soname in sonames:
            # Ubuntu 24.04 renamed libaio.so.1 to libaio.so.1t64; the calls are the same.
            found = [*root.path.glob(f"**/{soname}"), *root.path.glob(f"**/{soname}t64")]
            if not found:
                raise Unavailable(f"needs {soname}, and {' '.join(packages)} has not got it")
            shutil.copy(found[0], new / soname)

    return str(places.cached(f"{name}-{_release()}", fill))


def _loads(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True
