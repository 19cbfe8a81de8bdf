"""
Where a capture is right now, by the checkpoints that it commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from confluent_kafka import TopicPartition

from meepo2_cdc.records.checkpoint import Checkpoint, decode_checkpoint
from tests.command import SECONDS, until
from tests.history import consumer
from tests.scenes import Scene


@contextmanager
def checkpoints(
    scene: Scene, seconds: float = SECONDS
) -> Iterator[Callable[[Callable[[Checkpoint], bool], str], Checkpoint]]:
    """A function that waits for the next committed checkpoint of which something is true."""
    watching = consumer(scene.kafka, **{"isolation.level": "read_committed"})
    topic = f"{scene.prefix}.checkpoints.db"
    until(lambda: topic in watching.list_topics(timeout=30).topics, f"the topic {topic}")
    _, end = watching.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    watching.assign([TopicPartition(topic, 0, end)])

    def wait(true_of: Callable[[Checkpoint], bool], what: str) -> Checkpoint:
        def found() -> Checkpoint | None:
            message = watching.poll(0.01)
            if message is None or message.error() is not None or message.value() is None:
                return None
            checkpoint = decode_checkpoint(message.value())
            return checkpoint if true_of(checkpoint) else None

        return until(found, f"a checkpoint {what}", seconds)

    try:
        yield wait
    finally:
        watching.close()


def wait_for_progress(scene: Scene) -> Checkpoint:
    """Returns when records were committed whose batch was made after the call."""
    now = datetime.now(UTC)
    before: list[int] = []

    def further(one: Checkpoint) -> bool:
        before.append(one.seq)
        return one.written_at > now and one.seq > before[0]

    with checkpoints(scene) as wait:
        return wait(further, "of new records")
