"""
A load that makes ghosts where a snapshot is not sound: few keys, each written and deleted again and again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pymysql

from tests.scenes import Scene

WRITERS = 12
PAUSE_SECONDS = 0.002


class Togglers:
    """
    Threads that each write a row of `table` that is not there, or delete one that is, one a transaction.

    A lost connection is made anew for as long as the load goes on.
    """

    def __init__(self, scene: Scene, table: str, keys: int) -> None:
        self._scene, self._table, self._keys = scene, table, keys
        self._stopping = threading.Event()
        self.transactions = 0
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(WRITERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - keys, not secrets
        while not self._stopping.is_set():
            with suppress(pymysql.err.MySQLError, OSError):
                self._toggle(dice)

    def _toggle(self, dice: random.Random) -> None:
        with self._scene.server.connect(self._scene.database) as session, session.cursor() as cursor:
            while not self._stopping.is_set():
                key = dice.randrange(self._keys)
                if not cursor.execute(f"DELETE FROM {self._table} WHERE id = {key}"):
                    with suppress(pymysql.err.IntegrityError):
                        cursor.execute(f"INSERT INTO {self._table} (id) VALUES ({key})")
                self.transactions += 1
                self._stopping.wait(PAUSE_SECONDS)


@contextmanager
def toggled(scene: Scene, table: str, keys: int) -> Iterator[Togglers]:
    """The load while the block runs; half of the keys are there before."""
    load = Togglers(scene, table, keys)
    load.start()
    try:
        yield load
    finally:
        load.stop()
