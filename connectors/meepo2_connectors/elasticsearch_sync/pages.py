"""
All documents of an index, some at a time, as they are at one moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch

_PAGE = 1000
_KEEP_ALIVE = "5m"


def pages(client: Elasticsearch, index: str) -> Iterator[list[dict[str, Any]]]:
    """Ids and versions of all that can be found after a refresh; errors are those of the client."""
    client.indices.refresh(index=index)
    pit = client.open_point_in_time(index=index, keep_alive=_KEEP_ALIVE)["id"]
    after: list[Any] | None = None
    try:
        while hits := _page(client, pit, after):
            yield hits
            after = hits[-1]["sort"]
    finally:
        client.options(ignore_status=404).close_point_in_time(id=pit)


def _page(client: Elasticsearch, pit: str, after: list[Any] | None) -> list[dict[str, Any]]:
    answer = client.search(
        pit={"id": pit, "keep_alive": _KEEP_ALIVE},
        size=_PAGE,
        sort=["_shard_doc"],
        search_after=after,
        source=False,
        version=True,
        track_total_hits=False,
        allow_partial_search_results=False,
        filter_path="hits.hits._id,hits.hits._version,hits.hits.sort",
    )
    found: list[dict[str, Any]] = answer.body.get("hits", {}).get("hits", [])
    return found
