"""
The installed command as a subprocess: run to its end, or watched while it runs.

Every wait is for a condition and has a deadline; nothing sleeps for a length that was guessed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

COMMAND = Path(sys.executable).parent / "meepo2-cdc"
SECONDS = 60.0
_POLL_SECONDS = 0.02

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error message: its line and the indented ones below it."""
        lines = self.err.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("meepo2-cdc: ")), len(lines))
        return "\n".join(lines[first:])


def until(found: Callable[[], T], what: str, seconds: float = SECONDS) -> T:
    """What `found` returns as soon as it is true; AssertionError, naming `what`, when time is up."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(_POLL_SECONDS)
    return result


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without any setting of ours, and the given ones."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MEEPO2_")}
    return {**ours, **settings}


def run(*arguments: str, settings: Mapping[str, str], seconds: float = SECONDS) -> Outcome:
    """Runs the installed command to its end."""
    return Running(arguments, settings).end(seconds)


class Running:
    """
    A command that runs; what it says is read as it comes.

    `program` is the installed command, or what a test puts in its place.
    """

    def __init__(
        self, arguments: Sequence[str], settings: Mapping[str, str], program: Sequence[str] = (str(COMMAND),)
    ) -> None:
        self.process = subprocess.Popen(
            [*program, *arguments],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._out: list[str] = []
        self._err: list[str] = []
        self._listeners = [
            self._listen(self.process.stdout, self._out),
            self._listen(self.process.stderr, self._err),
        ]

    @staticmethod
    def _listen(stream: IO[str] | None, lines: list[str]) -> threading.Thread:
        assert stream is not None
        thread = threading.Thread(target=lambda: lines.extend(iter(stream.readline, "")), daemon=True)
        thread.start()
        return thread

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        """All of stderr so far."""
        return "".join(self._err)

    @property
    def printed(self) -> str:
        """All of stdout so far."""
        return "".join(self._out)

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, text: str, seconds: float = SECONDS) -> str:
        """The first line on stderr that has the text; AssertionError when the command ends without it."""

        def line() -> str:
            ended = not self.runs
            if ended:
                self._listeners[1].join(SECONDS)
            found = next((one for one in self._err if text in one), "")
            assert found or not ended, f"ended with {self.process.returncode} before {text!r}:\n{self.said}"
            return found

        return until(line, f"{text!r} on stderr", seconds)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = SECONDS) -> Outcome:
        """Asks it to end, and waits until it has."""
        self.send(number)
        return self.end(seconds)

    def kill(self) -> None:
        """SIGKILL, also while it is stopped; gone when this returns."""
        if self.runs:
            self.process.kill()
        self.process.wait(SECONDS)

    def end(self, seconds: float = SECONDS) -> Outcome:
        """Waits for it to end by itself."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it still ran after {seconds:.0f} s:\n{self.said}") from None
        for thread in self._listeners:
            thread.join(SECONDS)
        return Outcome(self.process.returncode, "".join(self._out), self.said)

    def resident_bytes(self) -> int:
        """Its peak so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        return int(kilobytes) * 1024
