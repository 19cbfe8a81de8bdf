"""
`python -m examples.repl_elasticsearch`: the rows of a table as documents of Elasticsearch, searched.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from examples.stage import DELETES, INSERTS, UPDATES, Stage, until


def main() -> None:
    stage = Stage("repl_elasticsearch", ("elasticsearch",))
    index = f"{stage.variables['ELASTICSEARCH'].rstrip('/')}/{stage.prefix}-{stage.schema}-test"
    _ask(index, "DELETE")
    with stage.captured(), stage.command("run", "elasticsearch_sync"):
        stage.run(*INSERTS, *UPDATES[:2], shown=True)
        _show(index, stage)
        stage.run(DELETES[0], shown=True)
        _show(index, stage)
    _ask(index, "DELETE")


def _show(index: str, stage: Stage) -> None:
    """Prints what a search finds, as soon as it is what the source has."""
    expected = {str(pk): {"id": pk, "data": data} for pk, data in stage.rows()}
    until(lambda: _found(index) == expected, f"Elasticsearch finds {expected}; it finds {_found(index)}")
    for document, source in expected.items():
        print(f"_id {document}: {json.dumps(source)}")
    print(flush=True)


def _found(index: str) -> dict[str, Any]:
    _ask(f"{index}/_refresh", "POST")
    hits = _ask(f"{index}/_search?size=100", "GET").get("hits", {}).get("hits", [])
    return {one["_id"]: {name: one["_source"].get(name) for name in ("id", "data")} for one in hits}


def _ask(url: str, method: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code in (404, 503):
            return {}  # there is no index yet, or its shard has only just been made
        raise


if __name__ == "__main__":
    main()
