"""
Readers of the topics: many, late, interrupted, in groups (PARITY section 10 E).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer

from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from tests.acceptance import tutorial
from tests.command import until
from tests.history import by_key, changes, consumer
from tests.scenes import Scene, both

_decode = ActionDecoder().action


class Reader:
    """A member of a consumer group, with nothing of this project but the schema."""

    def __init__(self, scene: Scene, group: str, table: str = "test") -> None:
        self._consumer: Consumer = consumer(scene.kafka, **{"group.id": f"{scene.prefix}-{group}"})
        self._consumer.subscribe([scene.topic(table)])
        self.heard: list[TableAction] = []

    def polled(self) -> Reader:
        """Itself, after it has taken what is there."""
        for message in self._consumer.consume(100, timeout=0.05):
            assert message.error() is None, message.error()
            self.heard.append(_decode(message.value()))
        return self

    def hear(self, count: int) -> list[tuple[str, tuple[object, ...]]]:
        """The changes, once there are so many."""
        until(lambda: len(self.polled().heard) >= count, f"{count} records; {len(self.heard)} came")
        return [(action.action.value, action.pk) for action in self.heard]

    @property
    def seqs(self) -> set[int]:
        return {action.seq for action in self.heard}

    @property
    def owns_partitions(self) -> bool:
        return bool(self._consumer.assignment())

    def close(self) -> None:
        if self.heard:
            self._consumer.commit(asynchronous=False)
        self._consumer.close()


@contextmanager
def reading(scene: Scene, group: str) -> Iterator[Reader]:
    """A reader that commits what it has heard when it leaves."""
    reader = Reader(scene, group)
    try:
        yield reader
    finally:
        reader.close()


def test_two_groups_each_get_every_change(scene: Scene) -> None:
    """S57.  One application must not take records away from another."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up()
    for group in ("one", "two"):
        with reading(scene, group) as reader:
            assert by_key(reader.hear(13)) == by_key(tutorial.CHANGES)


def test_a_reader_that_was_away_gets_what_it_missed(scene: Scene) -> None:
    """S58.  The predecessor lost what was written while a subscriber was down."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)", "INSERT INTO test VALUES (2)")
    scene.capture()
    scene.wait_for(2)
    with reading(scene, "one") as reader:
        assert sorted(reader.hear(2)) == [("write", (1,)), ("write", (2,))]
    scene.run("INSERT INTO test VALUES (3)")
    scene.wait_for(3)
    with reading(scene, "one") as reader:
        reader.hear(1)
        scene.run("INSERT INTO test VALUES (4)")
        assert reader.hear(2) == [("write", (3,)), ("write", (4,))]


def test_a_reader_that_comes_last_gets_all(scene: Scene) -> None:
    """S59.  The predecessor's late joiner got nothing."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up()
    with reading(scene, "late") as reader:
        assert by_key(reader.hear(13)) == by_key(tutorial.CHANGES)
    printed = scene.command("replay", "--from-offset", "earliest", "--json").out.splitlines()
    assert len(printed) == 13


def test_odd_keys_round_trip_unchanged(scene: Scene) -> None:
    """S61.  The predecessor joined event and key by a space, and took them apart again."""
    scene.run("CREATE TABLE word (id VARCHAR(20) PRIMARY KEY) CHARACTER SET utf8mb4")
    scene.run("CREATE TABLE pair (a INT, b VARCHAR(20), PRIMARY KEY (a, b))")
    scene.run(r"INSERT INTO word VALUES ('hello world'), (''), ('a\nb'), ('☃')", "INSERT INTO pair VALUES (1, 'x y')")
    scene.caught_up()
    found = [key for _, key in scene.changes()]
    assert found == [("hello world",), ("",), ("a\nb",), ("☃",), (1, "x y")]
    printed = [json.loads(line)["pk"] for line in scene.command("replay", "--json").out.splitlines()]
    assert printed == [list(key) for key in found]


def test_a_table_whose_name_begins_alike_is_another(scene: Scene) -> None:
    """S62.  The predecessor's subscriber of `order` was sent what `order_write_log` had, and crashed."""
    scene.run("CREATE TABLE `order` (id INT PRIMARY KEY)", "CREATE TABLE order_write_log (id INT PRIMARY KEY)")
    scene.run("INSERT INTO `order` VALUES (1)", "INSERT INTO order_write_log VALUES (2)")
    scene.caught_up()
    reader = Reader(scene, "one", "order")
    assert reader.hear(1) == [("write", (1,))]
    reader.close()
    assert {one.action.pk for one in scene.reads() if one.action and one.topic == scene.topic("order")} == {(1,)}
    printed = scene.command("replay", "--json", "--table", f"{scene.database}.order").out.splitlines()
    assert [json.loads(line)["table"] for line in printed] == ["order"]


def test_two_members_of_a_group_see_each_key_in_order(scene: Scene) -> None:
    """S65.  An update that overtakes a later delete brings the row back."""
    keys, rounds = 20, 5
    values = ", ".join(f"({key}, 0)" for key in range(keys))
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, n INT)", f"INSERT INTO test VALUES {values}")
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="4")
    with reading(scene, "one") as first, reading(scene, "one") as second:
        until(lambda: all(one.polled().owns_partitions for one in (first, second)), "a share for each", 150)
        scene.run(*(f"UPDATE test SET n = {n}" for n in range(1, rounds + 1)), "DELETE FROM test")
        scene.caught_up()
        wanted = keys * (rounds + 2)
        until(lambda: len(first.polled().seqs | second.polled().seqs) == wanted, f"{wanted} records")
        for reader in (first, second):
            _assert_in_order(reader.heard)
    assert len(scene.reads()) == wanted
    assert by_key(changes(scene.reads())) == {(n,): ["write", *["update"] * rounds, "delete"] for n in range(keys)}


def _assert_in_order(heard: list[TableAction]) -> None:
    """A member that took over a partition may hear again what the other had not committed, in order again."""
    by_pk: dict[object, list[int]] = defaultdict(list)
    for action in heard:
        by_pk[action.pk].append(action.seq)
    for seqs in by_pk.values():
        assert seqs == sorted(seqs)


@both
def test_the_print_tool_shows_the_true_names(scene: Scene) -> None:
    """S86.  The predecessor printed the name of the last event for all."""
    scene.run(tutorial.TABLE, "CREATE TABLE other (id INT PRIMARY KEY)")
    scene.run("INSERT INTO other VALUES (7)", *tutorial.STATEMENTS)
    scene.caught_up()
    printed = scene.command("replay").out.splitlines()
    rows = [line.split() for line in printed if f"{scene.database}." in line]
    assert [(row[1], row[2], row[3]) for row in rows] == [
        ("write", f"{scene.database}.other", "7"),
        *((action, f"{scene.database}.test", str(key[0])) for action, key in tutorial.CHANGES),
    ]
