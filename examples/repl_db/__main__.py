"""
`python -m examples.repl_db [--once]`: a table of MySQL or MariaDB, copied row by row into SQLite.

Without --once it goes on until Ctrl-C, and what is changed in the source meanwhile is copied too.
"""

from __future__ import annotations

import signal
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from examples.stage import INSERTS, UPDATES, Stage, until

CHANGED_KEY = "UPDATE test SET id = 30 WHERE id = 3"


def main(once: bool) -> None:
    stage = Stage("repl_db")
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "copy.db"
        with closing(sqlite3.connect(target)) as made:
            made.execute("PRAGMA journal_mode = WAL")
        stage.environment["TARGET"] = str(target)
        with stage.captured(), stage.command("run", "sql_replicator"):
            stage.run(*INSERTS, *UPDATES, CHANGED_KEY, shown=True)
            source = stage.rows()
            until(lambda: _copied(target) == source, f"SQLite has the rows of the source, {source}")
            print(f"source: {source}\nSQLite: {_copied(target)}", flush=True)
            if not once:
                print(
                    f"It goes on: change {stage.schema}.test at {stage.source}, and look into {target}. Ctrl-C ends it."
                )
                _wait()


def _copied(target: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(target)) as copy:
        if not copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'test'").fetchone():
            return []
        return copy.execute("SELECT id, data FROM test ORDER BY id").fetchall()


def _wait() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main(once="--once" in sys.argv[1:])
