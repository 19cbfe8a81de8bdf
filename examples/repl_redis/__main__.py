"""
`python -m examples.repl_redis`: the rows of a table in Redis, as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

import redis

from examples.stage import DELETES, INSERTS, UPDATES, Stage, until


def main() -> None:
    stage = Stage("repl_redis", ("redis",))
    store = redis.Redis.from_url(stage.variables["REDIS"], decode_responses=True)
    _clear(store, stage)
    with stage.captured(), stage.command("run", "redis_replicator"):
        stage.run(*INSERTS, *UPDATES[:2], shown=True)
        _show(store, stage, {1: "aa", 2: "bb", 3: "c", 4: "d"})
        stage.run(*DELETES, shown=True)
        _show(store, stage, {})
    _clear(store, stage)


def _show(store: redis.Redis, stage: Stage, rows: Mapping[int, str]) -> None:
    """Prints what Redis has, as soon as it has these rows."""
    expected = {f"{_table(stage)}:{pk}": f'{{"id":{pk},"data":"{data}"}}' for pk, data in rows.items()}
    until(lambda: _held(store, stage) == expected, f"Redis holds {expected}; it has {_held(store, stage)}")
    for key, value in expected.items():
        print(f"{key} = {value}")
    if not expected:
        print("no row is left in Redis", flush=True)


def _held(store: redis.Redis, stage: Stage) -> dict[str, str]:
    keys = [key for key in store.scan_iter(f"{_table(stage)}:*") if not key.endswith("#seq")]
    return {key: str(value) for key in keys if (value := store.get(key)) is not None}


def _table(stage: Stage) -> str:
    return f"{stage.prefix}:{stage.schema}.test"


def _clear(store: redis.Redis, stage: Stage) -> None:
    for key in store.scan_iter(f"{stage.prefix}:*"):
        store.delete(key)


if __name__ == "__main__":
    main()
