"""
The schema registry: away at the start, and away later.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from meepo2_cdc.kafka.registry import schema_of_id
from tests import history
from tests.command import until
from tests.proxy import Proxy
from tests.scenes import Scene


@pytest.fixture
def link(scene: Scene, registry: str) -> Iterator[Proxy]:
    """The link between the capture and the registry."""
    url = urlsplit(registry)
    with Proxy(url.hostname or "127.0.0.1", url.port or 80) as proxy:
        scene.settings["MEEPO2_SCHEMA_REGISTRY_URL"] = url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
        yield proxy


def changes(scene: Scene, registry: str) -> list[history.Change]:
    topics = history.data_topics(scene.kafka, scene.prefix)
    return history.changes(history.committed(scene.kafka, topics, schema_of_id(registry)))


def test_a_registry_that_is_away(scene: Scene, registry: str, link: Proxy) -> None:
    """What has its schema goes on; a table that needs one waits, with everything behind it, and is not left out."""
    scene.run("CREATE TABLE first (id INT PRIMARY KEY)", "INSERT INTO first VALUES (1)")
    with link.refusing():
        outcome = scene.once()
        assert outcome.code == 1, outcome.err
        assert "the schema registry at http://127.0.0.1" in outcome.complaint
        assert changes(scene, registry) == []
    capture = scene.capture()
    until(lambda: changes(scene, registry) == [("write", (1,))], "the first record")
    with link.refusing():
        scene.run("INSERT INTO first VALUES (2)")
        until(lambda: changes(scene, registry)[1:] == [("write", (2,))], "the second record")
        scene.run("CREATE TABLE second (id INT PRIMARY KEY)", "INSERT INTO second VALUES (3)")
        outcome = capture.end()
        assert outcome.code == 1, outcome.err
        assert "the schema registry at http://127.0.0.1" in outcome.complaint
    scene.caught_up()
    assert changes(scene, registry) == [("write", (1,)), ("write", (2,)), ("write", (3,))]
