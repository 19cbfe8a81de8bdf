"""
Processes by pid file: started in their own session, recognised before they are signalled.

Knows /proc, ports and polling; knows nothing of any server.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class Unavailable(Exception):
    """A server cannot be had.  `what` is one line with what to do; `log` is what the server said."""

    def __init__(self, what: str, log: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.log = log


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and the environment variables it needs beside the inherited ones."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def program(name: str, package: str) -> str:
    """The program's path; Unavailable names the package that has it."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"needs {name} or Docker; found neither. Install {package}")
    return path


def run(command: Command, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """Run to the end and return what it printed; Unavailable when it fails."""
    environment = {**os.environ, **command.environment}
    done = subprocess.run(
        command.argv, input=stdin, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        names = [Path(word).name for word in command.argv if not word.startswith("-") and ":" not in word]
        raise Unavailable(f"`{' '.join(names[:2])} ...` ended with {done.returncode}", said)
    return said


def last_lines(text: str, count: int = 20) -> str:
    return "\n".join(text.splitlines()[-count:])


def spawn(directory: Path, command: Command) -> subprocess.Popen[bytes]:
    """Start a server that outlives this process; its pid and its log go into `directory`."""
    environment = {**os.environ, **command.environment}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command.argv,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (directory / "pid").write_text(f"{process.pid}\n")
    # For a moment after exec the kernel shows no command line, and the server would pass for a dead one.
    poll(lambda: "" if pid_of(directory) or process.poll() is not None else "not shown yet", 5)
    return process


def pid_of(directory: Path) -> int | None:
    """The pid of the server living in `directory`, or None: a stale pid file may name another's process."""
    try:
        pid = int((directory / "pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(f"{directory}/") in arguments else None


def stop(directory: Path, seconds: float = 30) -> int | None:
    """Ask the server in `directory` to end, insist after `seconds`; its pid, or None if nothing ran."""
    pid = pid_of(directory)
    if pid is not None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if poll(lambda: "" if pid_of(directory) is None else "it still runs", seconds) == "":
                break
        else:
            raise Unavailable(f"pid {pid} does not end, even by SIGKILL")
    (directory / "pid").unlink(missing_ok=True)
    return pid


def poll(check: Callable[[], str], seconds: float, alive: Callable[[], bool] = lambda: True) -> str:
    """Call `check` until it returns "", the process is gone or time is up; its last answer says why not."""
    deadline = time.monotonic() + seconds
    while (why := check()) and alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    return why


def ports(directory: Path, count: int) -> list[int]:
    """
    The server's own ports, chosen at its first start and kept, so that addresses survive a restart.

    Below the kernel's ephemeral range (32768 up), where a passing outgoing connection could hold one.
    """
    remembered = directory / "ports"
    if not remembered.exists():
        chosen: set[int] = set()
        while len(chosen) < count:
            port = 15000 + secrets.randbelow(17000)
            if is_free(port):
                chosen.add(port)
        remembered.write_text(" ".join(map(str, sorted(chosen))))
    return [int(word) for word in remembered.read_text().split()]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def require_free(directory: Path, numbers: Sequence[int]) -> None:
    for port in numbers:
        if not is_free(port):
            raise Unavailable(f"its port {port} is taken by a process that is not ours. Free it, or remove {directory}")
