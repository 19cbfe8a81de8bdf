"""
`python -m examples.event_sourcing`: which keys changed since a time, kept over a restart.

`python -m examples.event_sourcing since TIME` asks the store that the example left.
"""

from __future__ import annotations

import sys
import time

from examples.stage import DELETES, INSERTS, UPDATES, Stage, until
from meepo2_connectors.event_store import EventStore

ACTIONS = ("write", "update", "delete")


def main() -> None:
    stage = Stage("event_sourcing", ("redis",))
    store = _store(stage)
    for action in ACTIONS:
        store.clear(f"test_{action}")
    began = int(time.time())
    with stage.captured():
        with stage.command("run", "event_store"):
            stage.run(*INSERTS, *UPDATES, *DELETES, shown=True)
            until(lambda: len(_since(store, began)) == 12, "every key of every event is in the store")
        before = _since(store, began)
        with stage.command("run", "event_store"):
            stage.run("INSERT INTO test (id, data) VALUES (9, 'e')", shown=True)
            until(lambda: "test_write 9" in _since(store, began), "it goes on after its restart")
        if not set(before) <= set(_since(store, began)):
            sys.exit(f"the restart lost {set(before) - set(_since(store, began))}")
    print(f"\n$ python -m examples.event_sourcing since {began}")
    _print(store, began)


def _store(stage: Stage) -> EventStore:
    return EventStore(stage.variables["REDIS"], namespace=stage.prefix)


def _since(store: EventStore, ts: float) -> list[str]:
    return [f"test_{action} {pk}" for action in ACTIONS for pk in store.replay(f"test_{action}", ts)]


def _print(store: EventStore, ts: float) -> None:
    for line in _since(store, ts):
        print(line)


if __name__ == "__main__":
    if sys.argv[1:2] == ["since"]:
        _print(_store(Stage("event_sourcing", ("redis",))), float(sys.argv[2]))
    else:
        main()
