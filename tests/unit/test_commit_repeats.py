"""
A commit that Kafka lets repeat.
"""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from meepo2_cdc.kafka.writer import TransactionalWriter

LOADING = KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, "loading", retriable=True)


class Answers:
    """The producer's answers to one commit after the other; None is a success."""

    def __init__(self, *answers: KafkaError | None) -> None:
        self._answers = iter(answers)

    def commit_transaction(self, timeout: float) -> None:
        if (answer := next(self._answers)) is not None:
            raise KafkaException(answer)


def commit(*answers: KafkaError | None) -> list[float]:
    """The pauses that were made."""
    pauses: list[float] = []
    producer: Any = Answers(*answers)
    TransactionalWriter({}, "p.db", "p.checkpoints.db", "db", sleep=pauses.append)._commit(producer)
    return pauses


def test_a_commit_is_repeated_with_a_pause() -> None:
    """An error that comes at once would be asked for thousands of times a second, by each capture there is."""
    assert commit(LOADING, LOADING, None) == [0.2, 0.2]


def test_a_commit_that_may_not_be_repeated_is_not() -> None:
    """The batch would be there twice."""
    with pytest.raises(KafkaException):
        commit(KafkaError(KafkaError.UNKNOWN, "?"))
