"""
Logs that the server encrypts on its disk: it sends them in plain, and their files are longer than their positions.

MySQL 8.0 and 9 have the keyring component in their builds, MariaDB 10.11 its key plugin in a package beside; the build
of MariaDB 11.4 that there is has no plugin and none built in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from meepo2_cdc.records import KeyPart
from tests.history import by_key
from tests.scenes import Scene, Server
from tests.services import encrypted, native
from tests.sources import known_sources

MAGIC = b"\xfebin"
ENCRYPTED_MAGIC = b"\xfdbin"
START_ENCRYPTION = 164


@pytest.fixture(scope="module")
def process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.PrivateServer]:
    with encrypted.encrypted(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def scene(process: native.PrivateServer, kafka: str, prefix: str) -> Iterator[Scene]:
    with closing(Scene(Server(process.dsn), kafka, prefix)) as made:
        yield made


every_server_that_can = pytest.mark.parametrize(
    "process", [name for name in known_sources() if name in encrypted.SERVERS], indirect=True
)


def is_encrypted(process: native.PrivateServer) -> bool:
    """MySQL encrypts a file as a whole; MariaDB all that is behind a start event."""
    newest = max((process.directory / "data").glob("binlog.0*"))
    raw = newest.read_bytes()
    if raw[:4] != MAGIC:
        return raw[:4] == ENCRYPTED_MAGIC
    second = 4 + int.from_bytes(raw[13:17], "little")
    return raw[second + 4] == START_ENCRYPTION


@every_server_that_can
def test_an_encrypted_log_is_captured_over_files_restarts_and_kills(
    process: native.PrivateServer, scene: Scene
) -> None:
    """A position that counts the encryption's header, or lacks it, is one at which no event begins."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO test VALUES (1, 'secret word')")
    assert is_encrypted(process)
    assert b"secret word" not in max((process.directory / "data").glob("binlog.0*")).read_bytes()
    scene.caught_up()
    scene.run("INSERT INTO test VALUES (2, 'a')", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (3, 'b')")
    scene.caught_up()
    running = scene.capture()
    scene.run("UPDATE test SET id = 4 WHERE id = 3", "INSERT INTO test VALUES (5, 'c')")
    scene.wait_for(6)
    running.kill()
    process.stop()
    process.start()
    scene.run("DELETE FROM test WHERE id = 1", "TRUNCATE TABLE test")
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    expected: dict[tuple[KeyPart, ...], list[str]] = {
        (1,): ["write", "delete"],
        (2,): ["write"],
        (3,): ["write", "delete"],
        (4,): ["write"],
        (5,): ["write"],
        (): ["truncate"],
    }
    assert {key: actions[: len(expected[key])] for key, actions in by_key(scene.changes()).items()} == expected
