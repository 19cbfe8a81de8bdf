"""
From the settings to a runner.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence

from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError, Error, UnreadableData
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.dead_letters import DeadLetter, DeadLetters
from meepo2_cdc.kafka.group import TOPICS_SECONDS, GroupFeed, begin_at_ends
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.ranges import RangeFeed
from meepo2_cdc.kafka.registry import schema_of_id
from meepo2_cdc.kafka.topics import TopicNames
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.row_avro import ChangeDecoder
from meepo2_cdc.replay.connectors import Chosen
from meepo2_cdc.replay.feeds import ListFeed
from meepo2_cdc.replay.lanes import Retries, Route, SetsAside
from meepo2_cdc.replay.runner import Feed, Limits, Runner
from meepo2_cdc.replay.selection import topics_of
from meepo2_cdc.table_filter import TableFilter

Decode = Callable[[bytes], TableAction | None]
_YOUNG_OBJECTS = 20_000


def collect_seldom() -> None:
    """Records hold no cycles, and Python's default looks for some at every 700: an eighth to a fifth of the time."""
    gc.set_threshold(_YOUNG_OBJECTS, 20, 100)


def connector_runner(chosen: Chosen) -> Runner:
    """Reads as a member of the connector's group, until it is stopped."""
    collect_seldom()
    feed = group_feed(chosen.settings, chosen.group, rows=chosen.rows)
    return runner(chosen.settings, feed, [connector_route(chosen)], set_aside(chosen), decoder(chosen.settings))


def range_runner(chosen: Chosen, feed: RangeFeed, wanted: Callable[[TableAction], bool]) -> tuple[Runner, Counting]:
    """Reads the feed's ranges once, and leaves no trace in Kafka but dead letters, which are counted."""
    collect_seldom()
    failed = Counting(set_aside(chosen))
    decode = decoder(chosen.settings)

    def decode_wanted(raw: bytes) -> TableAction | None:
        record = decode(raw)
        return record if wanted(record) else None

    return runner(chosen.settings, feed, [connector_route(chosen)], failed, decode_wanted), failed


def letters_runner(chosen: Chosen, letters: DeadLetters, named: Sequence[DeadLetter]) -> tuple[Runner, Counting]:
    """Applies dead letters once more; raises ConfigError where the connector would pass one over."""
    require_wanted(named, decoder(chosen.settings), connector_wants(chosen), f"the connector {chosen.name}")
    failed = Counting(letters)
    feed = ListFeed([one.message for one in named])
    return runner(chosen.settings, feed, [connector_route(chosen)], failed, decoder(chosen.settings)), failed


def connector_route(chosen: Chosen) -> Route:
    run = chosen.settings.run
    return Route(
        chosen.name,
        chosen.sink(),
        connector_wants(chosen),
        workers=run.workers,
        batch_records=run.batch_records,
        coalesce=chosen.connector.coalesce,
    )


def connector_wants(chosen: Chosen) -> Callable[[TableAction], bool]:
    """Whether the connector is to hear of a record, by its table and its action."""
    passes, actions = TableFilter(chosen.settings.tables, ghosts=True).passes, frozenset(chosen.connector.actions)
    return lambda record: record.action in actions and passes(record.schema, record.table)


def group_feed(settings: Settings, group: str, *, rows: bool = False) -> GroupFeed:
    """A member of the group, for the topics that can hold the tables; with `rows`, for those of their rows too."""
    admin = connect(settings.kafka)
    template = settings.topics.template
    names = TopicNames(settings.prefix, template)
    globs = [glob for glob in settings.tables if not glob.startswith("!")]

    def topics() -> list[str]:
        there = admin.list_topics(timeout=TOPICS_SECONDS).topics
        data = topics_of(filter(names.is_data_topic, there), globs, template.replace("{prefix}", settings.prefix))
        of_rows = filter(names.is_row_topic, there) if rows else ()
        return data + topics_of(of_rows, globs, f"{settings.prefix}.rows.{{schema}}.{{table}}")

    if settings.run.start == "latest":
        begin_at_ends(admin, group, topics())
    return GroupFeed(settings.kafka, group, topics, admin)


def decoder(settings: Settings) -> Callable[[bytes], TableAction]:
    registry = settings.schema_registry_url
    return ChangeDecoder(schema_of_id(registry) if registry else None).action


def set_aside(chosen: Chosen) -> SetsAside:
    """Where records go that fail, as `run.on_failure` says."""
    return set_aside_in(chosen.settings, dead_letters(chosen.settings, chosen.name))


def set_aside_in(settings: Settings, letters: DeadLetters) -> SetsAside:
    return _Stop() if settings.run.on_failure == "stop" else letters


def dead_letters(settings: Settings, name: str) -> DeadLetters:
    """The dead letters of a connector, or of an application's group."""
    topic = f"{settings.prefix}.{name}.dead-letters"
    return DeadLetters(settings.kafka, topic, name, settings.topics.replication_factor)


def runner(settings: Settings, feed: Feed, routes: list[Route], aside: SetsAside, decode: Decode) -> Runner:
    run = settings.run
    limits = Limits(
        records_in_flight=run.records_in_flight,
        commit_seconds=run.commit_interval_ms / 1000,
        stop_seconds=run.stop_seconds,
    )
    return Runner(feed, routes, decode, aside, limits, Retries(run.tries, run.retry_seconds, run.retry_max_seconds))


def require_wanted(
    letters: Sequence[DeadLetter], decode: Decode, wants: Callable[[TableAction], bool], who: str
) -> None:
    """Nobody would apply what is not wanted, and it would be marked as dealt with all the same."""
    for letter in letters:
        try:
            record = decode(letter.message.value() or b"")
        except UnreadableData:
            continue  # it is set aside again, and that is told
        if record is not None and not wants(record):
            raise ConfigError(
                f"{who} does not want the dead letter {letter.offset}: {record.action} of {record.qualified_table}",
                fix="See tables in the settings; `dead-letters drop` marks letters as dealt with that nobody needs.",
            )


class Counting:
    """Sets aside as another does, and counts; `unreadable` are those of all that were no records."""

    def __init__(self, aside: SetsAside) -> None:
        self._aside = aside
        self._lock = threading.Lock()
        self.count = 0
        self.unreadable = 0

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        self._aside.put(message, why, error, tries)
        with self._lock:
            self.count += 1
            self.unreadable += isinstance(error, UnreadableData)


class _Stop:
    """Sets nothing aside: the first record that fails ends the process, and is read again at the next start."""

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        at = f"{message.topic()}[{message.partition()}] offset {message.offset()}"
        kind = UnreadableData if isinstance(error, UnreadableData) else Error
        raise kind(
            f"{at}: {why} (tries: {tries})",
            fix="Mend the cause and start again; run.on_failure = dead-letter sets such records aside instead.",
        )
