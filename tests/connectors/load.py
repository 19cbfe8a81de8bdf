"""
A seeded load of records on a topic, and what must hold of those that were told.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterable

from confluent_kafka import Producer

from meepo2_cdc.records import Action, KeyPart, TableAction
from tests import kafka

PARTITIONS = 4
KEYS = 60
_PER_TRANSACTION = 40
Pk = tuple[KeyPart, ...]


class Load:
    """
    Writes records of shop.orders for as long as it is started, each key in a partition of its own.

    There are KEYS keys; with `once` each is written once only, for listeners that are not told the seq.  Use it with
    `with`; at its end nothing is written any more, and `written` is all there is.
    """

    def __init__(self, address: str, prefix: str, seed: int, *, once: bool = False) -> None:
        self._once = once
        self._topics = kafka.Topics(address)
        self._topic = self._topics.create(f"{prefix}.shop.orders", PARTITIONS)
        self._dice = random.Random(seed)  # noqa: S311 - a load, not secrets
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._trouble: list[BaseException] = []
        self.written: list[TableAction] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._trouble, self._trouble

    def _write(self) -> None:
        try:
            with self._topics.producer() as producer:
                while not self._ending.wait(0.01):
                    self._transaction(producer)
        except BaseException as error:  # noqa: BLE001 - raised where the test ends
            self._trouble.append(error)

    def _transaction(self, producer: Producer) -> None:
        producer.begin_transaction()
        records = []
        for _ in range(self._dice.randint(1, _PER_TRANSACTION)):
            seq = 1_000_000 + len(self.written) + len(records)
            number = seq if self._once else self._dice.randrange(KEYS)
            action = self._dice.choice([Action.WRITE, Action.UPDATE, Action.DELETE])
            records.append(kafka.record(seq, action=action, pk=(number,)))
            kafka.produce(producer, self._topic, number % PARTITIONS, records[-1])
        producer.commit_transaction(30)
        self.written += records


def faults_in(written: Iterable[TableAction], told: Iterable[tuple[Pk, int]]) -> list[str]:
    """
    What is wrong with it that these keys and seqs were told, in this order, of what was written.

    A change may be told again, with what followed it; but never before one of the same key that was written earlier.
    """
    histories: dict[Pk, list[int]] = defaultdict(list)
    for record in written:
        histories[record.pk].append(record.seq)
    reached: dict[Pk, int] = defaultdict(int)
    faults = []
    for pk, seq in told:
        if seq not in histories[pk]:
            faults.append(f"{pk} {seq} was never written")
            continue
        at = histories[pk].index(seq)
        if at > reached[pk]:
            faults.append(f"{pk} {seq} was told before {histories[pk][reached[pk]]}")
        reached[pk] = max(reached[pk], at + 1)
    faults += [
        f"{pk} {history[reached[pk] :]} was not told" for pk, history in histories.items() if reached[pk] < len(history)
    ]
    return faults
