"""
`capture --from-files`: what archived log files give, held against what the server itself gave.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from meepo2_cdc.capture.binlog import collations
from meepo2_cdc.capture.binlog.offline_catalog import OfflineCatalog
from tests import history
from tests.command import Outcome, run
from tests.scenes import FULL_METADATA, MakeScene, Scene, Server
from tests.services import encrypted, native
from tests.sources import known_sources, source_log

OWN = [name for name in ("mysql9", "mariadb11") if name in known_sources()]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """The servers that are not there for the whole run, with full row metadata."""
    with ExitStack() as running:
        yield {
            name: Server(running.enter_context(getattr(native, name)(tmp_path_factory.mktemp(name), FULL_METADATA)).dsn)
            for name in OWN
        }


@pytest.fixture(scope="module")
def without_ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A MySQL whose transactions have no global ids."""
    options = [*FULL_METADATA, "gtid_mode=OFF", "enforce_gtid_consistency=OFF"]
    with native.mysql(tmp_path_factory.mktemp("without-ids"), options) as server:
        yield Server(server.dsn)


@pytest.fixture
def scene(make_scene: MakeScene, request: pytest.FixtureRequest) -> Scene:
    """On a server of this run, whose log begins a new file for the scene."""
    name = request.param
    server = request.getfixturevalue("others")[name] if name in OWN else request.getfixturevalue(name)
    server.run("FLUSH BINARY LOGS")
    made = make_scene(server)
    made.settings["MEEPO2_CAPTURE_START"] = made.settings["MEEPO2_CAPTURE_START"] or "earliest"
    made.settings["FIRST"] = max(row["Log_name"] for row in server.ask("SHOW BINARY LOGS"))
    return made


both = pytest.mark.parametrize("scene", ["own_mysql", "own_mariadb"], indirect=True)
every_server = pytest.mark.parametrize("scene", ["own_mysql", "own_mariadb", *OWN], indirect=True)


def archived(scene: Scene, to: Path) -> list[Path]:
    """The files of the scene as an archive has them: all are ended, none is written any more."""
    scene.server.run("FLUSH BINARY LOGS")
    folder = Path(scene.server.variable("log_bin_basename")).parent
    names = sorted(row["Log_name"] for row in scene.server.ask("SHOW BINARY LOGS"))
    to.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copy(folder / name, to)) for name in names if scene.settings["FIRST"] <= name < names[-1]]


def from_files(scene: Scene, *files: Path, dsn: bool = False, **settings: str) -> Outcome:
    merged = {**scene.settings, **settings}
    if not dsn:
        del merged["MEEPO2_SOURCE_DSN"]
    return run("capture", "--from-files", *map(str, files), settings=merged)


def reads_under(scene: Scene, prefix: str) -> list[history.Read]:
    return history.committed(scene.kafka, history.data_topics(scene.kafka, prefix))


def rows_under(scene: Scene, prefix: str) -> list[object]:
    reads = history.committed(scene.kafka, [f"{prefix}.rows.{scene.database}.{table}" for table in ("test", "odd")])
    return bare(reads, prefix)


def bare(reads: list[history.Read], prefix: str) -> list[object]:
    """The records with their bytes, but for seq: it is taken from each, and the prefix from the topics."""
    lowest = min(one.action.seq for one in reads if one.action is not None)
    return [
        (one.topic.removeprefix(prefix), one.partition, one.timestamp_ms, one.key, _without_seq(one, lowest))
        for one in sorted(reads, key=lambda one: one.action.seq if one.action else 0)
    ]


def _without_seq(read: history.Read, lowest: int) -> object:
    return None if read.action is None else replace(read.action, seq=read.action.seq - lowest)


@contextmanager
def compressing(scene: Scene) -> Iterator[tuple[str, ...]]:
    """What a session says first, so that the server compresses what it changes."""
    if scene.server.flavor == "mysql":
        yield ("SET binlog_transaction_compression = ON",)
    else:
        scene.server.run("SET GLOBAL log_bin_compress = ON")
        try:
            yield ()
        finally:
            scene.server.run("SET GLOBAL log_bin_compress = OFF")


def change_much(scene: Scene) -> None:
    """Over several files: what a log can hold, compressed as well."""
    scene.run(
        "CREATE TABLE test (id INT PRIMARY KEY, v LONGTEXT)",
        "CREATE TABLE odd (a ENUM('red', 'größe') CHARACTER SET latin1, b VARCHAR(20) CHARACTER SET latin1,"
        " c DECIMAL(6, 2), d BINARY(5), PRIMARY KEY (b, a, c, d))",
        "INSERT INTO test VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO odd VALUES ('größe', 'süß €', -1.5, 'x'), ('red', '', 0, '')",
        "UPDATE test SET id = 4 WHERE id = 3",
        "FLUSH BINARY LOGS",
        "BEGIN", "INSERT INTO test VALUES (5, 'undone')", "ROLLBACK",
        "BEGIN", "INSERT INTO test VALUES (6, '')", "SAVEPOINT s", "INSERT INTO test VALUES (7, 'undone')",
        "ROLLBACK TO s", "INSERT INTO test VALUES (8, '')", "COMMIT",
        "XA START 'x'", "INSERT INTO test VALUES (9, 'xa')", "XA END 'x'", "XA PREPARE 'x'",
    )  # fmt: skip
    scene.run(
        "INSERT INTO test VALUES (10, REPEAT('large', 300000))",
        "FLUSH BINARY LOGS",
        "XA COMMIT 'x'",
        "ALTER TABLE test ADD COLUMN w INT FIRST",
    )
    with compressing(scene) as first:
        scene.run(
            *first,
            "INSERT INTO test VALUES (0, 11, REPEAT('a', 1000)), (0, 12, REPEAT('b', 1000))",
            "UPDATE test SET w = 1, v = REPEAT('c', 1000)",
        )
    scene.run("DELETE FROM test WHERE id < 5", "TRUNCATE odd", "INSERT INTO odd VALUES ('red', 'ÿ', 1, 'y')")


@every_server
def test_files_give_the_same_records_as_the_server(scene: Scene, tmp_path: Path) -> None:
    """A row that the archive gives otherwise, or not at all, is found in the accident only."""
    scene.settings["MEEPO2_CAPTURE_ROWS"] = '[{"tables": "*.*", "oversize": "key-only"}]'
    change_much(scene)
    scene.caught_up()
    files = archived(scene, tmp_path)
    assert len(files) == 3
    with gzip.open(tmp_path / f"{files[1].name}.gz", "wb") as packed:
        packed.write(files[1].read_bytes())
    other = f"{scene.prefix}f"
    outcome = from_files(scene, files[2], files[0], tmp_path / f"{files[1].name}.gz", MEEPO2_PREFIX=other)
    assert outcome.code == 0, outcome.err
    expected = bare(scene.reads(), scene.prefix)
    assert bare(reads_under(scene, other), other) == expected
    assert len(expected) > 20
    assert rows_under(scene, other) == rows_under(scene, scene.prefix) != []


@pytest.mark.parametrize("scene", ["own_mysql", "own_mariadb", "without_ids"], indirect=True)
def test_files_go_on_where_the_checkpoint_is_and_the_server_behind_them(scene: Scene, tmp_path: Path) -> None:
    """After a disaster the archive is what there is: a row published twice, or never, would be noticed by nobody."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (1)")
    scene.caught_up()
    scene.run("INSERT INTO test VALUES (2)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (3)")
    files = archived(scene, tmp_path)
    assert from_files(scene, *files[:-1]).code == 0
    assert from_files(scene, *files).code == 0
    published = scene.reads()
    assert from_files(scene, *files).code == 0
    assert scene.reads() == published
    scene.run("INSERT INTO test VALUES (4)")
    scene.caught_up()
    found = history.actions(scene.reads())
    assert [action.pk for action in found] == [(1,), (2,), (3,), (4,)]
    assert [action.seq - found[0].seq for action in found] == [0, 1, 2, 3]


@both
def test_files_that_begin_behind_the_checkpoint_are_refused(scene: Scene, tmp_path: Path) -> None:
    """What is between would be lost, and the checkpoint would say that it is published."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    scene.caught_up()
    scene.run("INSERT INTO test VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (2)")
    files = archived(scene, tmp_path)
    outcome = from_files(scene, files[-1])
    assert outcome.code == 3
    assert files[-1].name in outcome.complaint
    assert scene.changes() == []


@pytest.mark.parametrize("scene", ["own_mysql"], indirect=True)
def test_files_of_another_history_are_refused(scene: Scene, tmp_path: Path) -> None:
    """The checkpoint has transactions that such a server never had; going on would mix two histories."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.caught_up()
    checkpoint = scene.checkpoint()
    assert checkpoint is not None
    scene.run("INSERT INTO test VALUES (2)")
    files = archived(scene, tmp_path)
    foreign = f"{checkpoint.gtid_set},00000000-0000-0000-0000-000000000001:1-5"
    other = f"{scene.prefix}o"
    outcome = from_files(scene, *files, MEEPO2_PREFIX=other, MEEPO2_CAPTURE_START=foreign)
    assert outcome.code == 3, outcome.err
    assert "another history" in outcome.complaint


@both
def test_of_a_file_that_is_cut_all_whole_transactions_are_published(scene: Scene, tmp_path: Path) -> None:
    """A crashed server leaves such a file: half of a transaction was never committed, and must not be published."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, v TEXT)", "INSERT INTO test VALUES (1, '')")
    before = _size(scene)
    scene.run("BEGIN", *(f"INSERT INTO test VALUES ({n}, REPEAT('x', 9000))" for n in range(2, 6)), "COMMIT")
    (file,) = archived(scene, tmp_path)
    whole = file.read_bytes()
    for size in (before + 20000, before + 10, len(whole) - 3):
        file.write_bytes(whole[:size])
        outcome = from_files(scene, file)
        assert outcome.code == 5, outcome.err
        assert str(file) in outcome.complaint
        expected = [1, 2, 3, 4, 5] if size > before + 30000 else [1]
        assert [pk for _, pk in scene.changes()] == [(n,) for n in expected]
    file.write_bytes(whole)
    assert from_files(scene, file).code == 0
    assert [pk for _, pk in scene.changes()] == [(n,) for n in range(1, 6)]


def _size(scene: Scene) -> int:
    return int(scene.server.ask("SHOW BINARY LOGS")[-1]["File_size"])


@pytest.mark.parametrize("scene", ["own_mariadb"], indirect=True)
def test_files_that_are_no_whole_log_are_refused_before_anything_is_written(scene: Scene, tmp_path: Path) -> None:
    """A gap in an archive is a gap in what is published, and nobody looks for it there."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    for number in range(3):
        scene.run(f"INSERT INTO test VALUES ({number})", "FLUSH BINARY LOGS")
    files = archived(scene, tmp_path)

    def refused(*given: Path, code: int = 2) -> str:
        outcome = from_files(scene, *given)
        assert outcome.code == code, outcome.err
        assert history.data_topics(scene.kafka, scene.prefix) == []
        return outcome.complaint

    assert f"missing: {files[1].name}" in refused(files[0], files[2])
    renamed = Path(shutil.copy(files[2], tmp_path / "other.000007"))
    assert "several logs" in refused(files[0], renamed)
    swapped = [tmp_path / "swapped" / file.name for file in files]
    swapped[0].parent.mkdir()
    for file, name in zip((files[0], files[2], files[1]), swapped, strict=False):
        shutil.copy(file, name)
    assert f"goes on with {_next(files[2].name)}" in refused(*swapped[:3])
    text = tmp_path / "text.000001"
    text.write_text("/*!50530 SET @@SESSION.PSEUDO_SLAVE_MODE=1*/;")
    assert "no log file" in refused(text)
    spoilt = bytearray(files[1].read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    files[1].write_bytes(spoilt)
    assert "does not have its checksum" in refused(*files, code=5)


def _next(name: str) -> str:
    series, _, number = name.rpartition(".")
    return f"{series}.{int(number) + 1:0{len(number)}}"


@pytest.mark.parametrize("scene", ["mysql", "mariadb"], indirect=True)
def test_files_that_do_not_say_their_keys_need_a_server_that_has_the_tables(scene: Scene, tmp_path: Path) -> None:
    """Taking the first column for the key, or passing over such rows, would be wrong in silence."""
    scene.run("CREATE TABLE test (a INT, id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO test VALUES (7, 1, 'x')")
    files = archived(scene, tmp_path)
    outcome = from_files(scene, *files)
    assert outcome.code == 5, outcome.err
    assert "binlog_row_metadata was not FULL" in outcome.complaint
    assert "source.dsn" in outcome.complaint
    assert from_files(scene, *files, dsn=True).code == 0
    assert scene.changes() == [("write", (1,))]


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_encrypted_files_are_refused(name: str, kafka: str, prefix: str, tmp_path: Path) -> None:
    """Their bytes are no events; the words say where plain ones are to be had."""
    with (
        encrypted.encrypted(name, tmp_path) as process,
        closing(Scene(Server(process.dsn), kafka, prefix)) as scene,
    ):
        scene.settings["FIRST"] = ""
        outcome = from_files(scene, *archived(scene, tmp_path / "archive")[-1:])
    assert outcome.code == 2, outcome.err
    assert "is encrypted" in outcome.complaint


@pytest.mark.parametrize("name", known_sources())
def test_collations_and_latin1_are_known_without_a_server(name: str) -> None:
    """A number taken for another character set gives other keys than the server has."""
    log = source_log(name)
    listed = log.ask("SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL")
    if name.startswith("mariadb"):
        listed += log.ask("SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
    known = {number: (collations.charset_of(number) or "").replace("utf8mb3", "utf8") for number, _ in listed}
    assert known == {number: charset.replace("utf8mb3", "utf8") for number, charset in listed}
    every = bytes(range(256))
    catalog = OfflineCatalog(None, is_mariadb=name.startswith("mariadb"))
    assert catalog.text_decoder("latin1")(every) == log.server.catalog.text_decoder("latin1")(every)
    log.close()
