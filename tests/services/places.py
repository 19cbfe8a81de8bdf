"""
Where things lie: what belongs to this tree, and what is downloaded once for all trees.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STATE = Path(__file__).resolve().parents[2] / ".services"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meepo2-cdc"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file's lock against other threads and processes; it ends with its holder, even one killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_once(final: Path, fill: Callable[[Path], None]) -> Path:
    """Return `final`, which `fill` makes first if need be; a half-made one never has that name."""
    if not final.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f"{final.name}.", dir=final.parent))
        try:
            new = beside / "new"
            new.mkdir()
            fill(new)
            new.rename(final)
        finally:
            shutil.rmtree(beside)
    return final


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """A downloaded directory, shared by every tree on this machine."""
    with locked(CACHE / f"{name}.lock"):
        return made_once(CACHE / name, fill)
