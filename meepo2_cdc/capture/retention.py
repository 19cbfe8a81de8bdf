"""
How far the end of the source's log is, and how long the source keeps what comes behind the last checkpoint.

Asked now and then on a connection of its own, so that neither reading nor committing waits for it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import Error
from meepo2_cdc.records.checkpoint import Checkpoint

log = structlog.get_logger()

EVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What a server's log holds; `keep_seconds` is None where it never purges by age."""

    files: tuple[tuple[str, int], ...]
    keep_seconds: float | None

    @property
    def end(self) -> tuple[str, int]:
        return self.files[-1]

    def behind_bytes(self, checkpoint: Checkpoint) -> float:
        """NaN where the checkpoint's file is not there."""
        names = [name for name, _ in self.files]
        if checkpoint.file not in names:
            return math.nan
        return float(max(0, sum(size for _, size in self.files[names.index(checkpoint.file) :]) - checkpoint.position))

    def left_seconds(self, checkpoint: Checkpoint, now: float) -> float:
        """
        Until the checkpoint's file may be purged, at the least.

        A server purges a file when it was last written to so long ago, and never the last one.  The change at the
        checkpoint was written before its file's end, so its age is not less than the file's.
        """
        if not checkpoint.file:
            return math.nan  # a first start by global ids: the file is known from the next checkpoint on
        names = [name for name, _ in self.files]
        if checkpoint.file not in names:
            return 0.0
        if self.keep_seconds is None:
            return math.inf
        if checkpoint.file == names[-1] or checkpoint.committed_at is None:
            return self.keep_seconds
        return max(0.0, self.keep_seconds - (now - checkpoint.committed_at.timestamp()))


def ask(server: SourceServer) -> Kept:
    return Kept(tuple(server.files()), server.keep_seconds())


class RetentionWatch:
    """`kept` is the last answer, None before the first."""

    def __init__(self, source: SourceSettings, checkpoint: Callable[[], Checkpoint | None]) -> None:
        self._source = source
        self._checkpoint = checkpoint
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self.kept: Kept | None = None

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()

    def left_seconds(self) -> float:
        """NaN while nothing is known."""
        kept, checkpoint = self.kept, self._checkpoint()
        return math.nan if kept is None or checkpoint is None else kept.left_seconds(checkpoint, time.time())

    def behind_bytes(self) -> float:
        kept, checkpoint = self.kept, self._checkpoint()
        return math.nan if kept is None or checkpoint is None else kept.behind_bytes(checkpoint)

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._checkpoint() is None:  # it starts, or stands by, and asks nothing
                self._closing.wait(1.0)
                continue
            self._ask()
            self._closing.wait(EVERY_SECONDS)

    def _ask(self) -> None:
        """By a new connection each time: the address may lead to another server by now."""
        try:
            server = SourceServer(self._source)
            try:
                self.kept = ask(server)
            finally:
                server.close()
        except Error as error:
            log.debug("The source was not asked for its log", why=error.found)
        except Exception:
            log.warning("The source could not be asked for its log", exc_info=True)
