"""
The command `python -m meepo2_connectors.elasticsearch_sync.alias`: which indexes are searched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import Error
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.elasticsearch_sync.aliases import Switch, planned, switch
from meepo2_connectors.elasticsearch_sync.client import connect, greet, translating
from meepo2_connectors.elasticsearch_sync.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        settings, own = load_with("elasticsearch_sync", Settings, config=chosen.config)
        client = connect(own)
        try:
            greet(client)
            with translating():
                plan = planned(client, settings.prefix, own.index_suffix)
                if chosen.command == "switch":
                    switch(client, plan, remove_indexes=chosen.remove_indexes)
        finally:
            client.close()
    except (Error, TryAgain) as error:
        print(f"alias: {error}".replace("\n", "\n       "), file=sys.stderr)  # noqa: T201 - a command
        return error.exit_code if isinstance(error, Error) else 1
    for one in plan:
        print(_line(one, switched=chosen.command == "switch"))  # noqa: T201 - a command
    return 0


def _line(one: Switch, *, switched: bool) -> str:
    before = ", ".join(one.now) or ("an index of that name" if one.is_index else "nothing")
    if one.is_done:
        return f"{one.alias} is {one.index}"
    return f"{one.alias} {'was' if switched else 'is'} {before}, {'is now' if switched else 'would be'} {one.index}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meepo2_connectors.elasticsearch_sync.alias",
        description="The aliases of the indexes with the index_suffix that is set.",
    )
    parser.add_argument("command", choices=("show", "switch"), help="tell what would be switched, or switch it")
    parser.add_argument("--config", type=Path, help="the settings file; variables count too")
    parser.add_argument(
        "--remove-indexes",
        action="store_true",
        help="remove an index that has an alias's name, in the same step",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
