"""
The loop of a consumer application: what is applied, what comes again, what is set aside, what is committed.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meepo2_cdc.kafka.offsets import Partition
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.replay.lanes import Retries, Route
from meepo2_cdc.replay.progress import Claim, Span
from meepo2_cdc.replay.runner import Feed, Limits, Runner
from meepo2_cdc.replay.sink import Rejected, TryAgain
from meepo2_cdc.testing import Changes, InMemoryFeed, InMemoryMessage, SetAsideRecords

AT_ONCE = Retries(tries=10, first_seconds=0.0001, longest_seconds=0.001)
USERS = Partition("meepo2.shop.user", 0)


class Recording:
    """A sink that keeps what it was given, and fails as the test says."""

    def __init__(self, fails: Callable[[Sequence[TableAction]], None] = lambda batch: None) -> None:
        self.batches: list[list[TableAction]] = []
        self.threads: defaultdict[Any, set[str]] = defaultdict(set)
        self._fails = fails
        self.closed = False

    def open(self) -> None: ...

    def apply(self, batch: Sequence[TableAction]) -> None:
        self.batches.append(list(batch))
        for record in batch:
            self.threads[record.pk].add(threading.current_thread().name)
        self._fails(batch)

    def close(self) -> None:
        self.closed = True

    @property
    def applied(self) -> list[TableAction]:
        return [record for batch in self.batches for record in batch]


def run(
    sink: Recording,
    feed: Feed,
    *,
    retries: Retries = AT_ONCE,
    limits: Limits | None = None,
    aside: SetAsideRecords | None = None,
    **route: Any,
) -> SetAsideRecords:
    aside = aside or SetAsideRecords()
    routes = [Route("test", sink, lambda record: True, **route)]
    Runner(feed, routes, ActionDecoder().action, aside, limits, retries).run()
    return aside


def tables_of(records: Sequence[TableAction]) -> dict[Any, list[int]]:
    """The seqs of each key, in the order in which they came."""
    found = defaultdict(list)
    for one in records:
        found[one.pk].append(one.seq)
    return dict(found)


def test_each_key_stays_with_one_worker_and_in_its_order():
    """Two workers with the same key would apply its older change last (S65, S68)."""
    changes = Changes()
    records = [changes.update(n % 20) for n in range(400)]
    sink = Recording()
    run(sink, InMemoryFeed(records), workers=4, batch_records=7)
    assert tables_of(sink.applied) == tables_of(records)
    assert all(len(threads) == 1 for threads in sink.threads.values())
    assert len({name for threads in sink.threads.values() for name in threads}) == 4


def test_a_batch_never_exceeds_its_limit():
    """A bulk API refuses what is larger than it allows (S70)."""
    changes = Changes()
    sink = Recording()
    run(sink, InMemoryFeed([changes.write(n) for n in range(1000)]), workers=1, batch_records=256)
    assert max(map(len, sink.batches)) == 256
    assert len(sink.applied) == 1000


def test_of_several_waiting_records_of_a_key_the_newest_stands_for_all():
    """A target that was away need not be told a thousand times what one row is now (S69)."""
    changes = Changes()
    records = [changes.update(n % 300) for n in range(899)] + [changes.delete(299)]
    sink = Recording()
    feed = InMemoryFeed(records)
    run(sink, feed, workers=2, coalesce=True)
    last = {one.pk: one for one in records}
    assert {one.pk: one for one in sink.applied} == last
    assert len(sink.applied) < 900
    assert feed.committed == {USERS: 900}


def test_a_truncate_waits_for_what_came_before_and_is_waited_for():
    """It concerns every key, and workers know only their own."""
    changes = Changes()
    records = [*(changes.write(n) for n in range(50)), changes.truncate(), *(changes.write(n) for n in range(50))]
    sink = Recording()
    run(sink, InMemoryFeed(records), workers=4, batch_records=3)
    order = [one.seq for one in sink.applied]
    at = order.index(records[50].seq)
    assert set(order[:at]) == {one.seq for one in records[:50]}
    assert set(order[at + 1 :]) == {one.seq for one in records[51:]}
    assert sink.batches[[one.action for one in (batch[0] for batch in sink.batches)].index(Action.TRUNCATE)] == [
        records[50]
    ]


def test_a_key_that_fails_is_tried_again_while_others_go_on():
    """One bad row must not stop the replication of all others (S71)."""
    changes = Changes()
    calls: Counter[Any] = Counter()

    def fails(batch: Sequence[TableAction]) -> None:
        calls.update(one.pk for one in batch)
        bad = [one for one in batch if one.pk == (2,) and calls[2,] < 4]
        if bad:
            raise TryAgain("not yet", bad)

    records = [changes.write(n) for n in range(1, 5)]
    sink = Recording(fails)
    feed = InMemoryFeed(records)
    aside = run(sink, feed, workers=1)
    assert calls == {(1,): 1, (2,): 4, (3,): 1, (4,): 1}
    assert aside.letters == []
    assert feed.committed == {USERS: 4}


def test_a_key_that_always_fails_is_a_dead_letter_after_its_last_try():
    """Eleven calls in all, as the predecessor made, but then it is kept and not just a line in a log (S71)."""
    changes = Changes()

    def fails(batch: Sequence[TableAction]) -> None:
        bad = [one for one in batch if one.pk == (2,)]
        if bad:
            raise TryAgain("never", bad)

    records = [changes.write(1), changes.write(2), changes.write(3), changes.update(2)]
    sink = Recording(fails)
    feed = InMemoryFeed(records)
    aside = run(sink, feed, workers=1)
    assert [(message.offset(), why, tries) for message, why, tries in aside.letters] == [
        (1, "never", 11),
        (3, "never", 11),
    ]
    assert feed.committed == {USERS: 4}


def test_what_follows_a_failed_record_of_its_key_does_not_overtake_it():
    """A delete that is applied before the write it follows leaves a row that nobody deletes any more."""
    changes = Changes()
    failures = [3]

    def fails(batch: Sequence[TableAction]) -> None:
        bad = [one for one in batch if one.action is Action.WRITE]
        if bad and failures[0]:
            failures[0] -= 1
            raise TryAgain("not yet", bad)

    records = [changes.write(1), changes.update(1), changes.delete(1)]
    sink = Recording(fails)
    run(sink, InMemoryFeed(records), workers=1, batch_records=1)
    done = [one.seq for one in sink.applied][-3:]
    assert done == [one.seq for one in records]


def test_a_key_is_tried_alone_once_it_failed_together_with_others():
    """A batch function cannot say which key it choked on; the others must not be dead letters with it (S72)."""
    changes = Changes()

    def fails(batch: Sequence[TableAction]) -> None:
        if any(one.pk == (2,) for one in batch):
            raise TryAgain("one of them", batch)

    sink = Recording(fails)
    feed = InMemoryFeed([changes.write(n) for n in (1, 2, 3, 4)])
    aside = run(sink, feed, workers=1)
    assert [message.offset() for message, _, _ in aside.letters] == [1]
    assert feed.committed == {USERS: 4}


def test_a_target_that_is_away_is_waited_for_and_never_fills_the_dead_letters():
    """An hour's outage with ten tries would otherwise set everything aside."""
    changes = Changes()
    attempts = [0]

    def fails(batch: Sequence[TableAction]) -> None:
        attempts[0] += 1
        if attempts[0] < 50:
            raise TryAgain("connection refused")

    sink = Recording(fails)
    feed = InMemoryFeed([changes.write(n) for n in range(10)])
    aside = run(sink, feed, workers=1)
    assert attempts[0] == 50
    assert aside.letters == []
    assert feed.committed == {USERS: 10}


def test_a_rejected_record_is_set_aside_and_the_rest_of_its_batch_applied():
    """What a target will never take must not be asked for ever, nor be lost."""
    changes = Changes()

    def fails(batch: Sequence[TableAction]) -> None:
        bad = [one for one in batch if one.pk in {(2,), (5,)}]
        if bad:
            raise Rejected("too long", bad)

    sink = Recording(fails)
    feed = InMemoryFeed([changes.write(n) for n in range(8)])
    aside = run(sink, feed, workers=1)
    assert [(message.offset(), why) for message, why, _ in aside.letters] == [(2, "too long"), (5, "too long")]
    assert [one.pk for one in sink.batches[-1]] == [(0,), (1,), (3,), (4,), (6,), (7,)]


def test_a_message_that_is_no_record_is_set_aside_with_its_bytes():
    """One producer gone wrong must not end the service for all others (S63)."""
    changes = Changes()
    record = changes.write(1)
    feed = InMemoryFeed([])
    feed.put(InMemoryMessage(b"\xff\xff", b"key", USERS.topic, 0, 7))
    feed.put(InMemoryMessage.of(record, 8))
    sink = Recording()
    aside = run(sink, feed)
    ((message, why, _),) = aside.letters
    assert (message.key(), message.value(), message.offset()) == (b"key", b"\xff\xff", 7)
    assert "neither Avro framing" in why
    assert sink.applied == [record]
    assert feed.committed == {USERS: 9}


def test_an_error_of_the_sink_ends_the_runner_and_commits_nothing_of_its_batch():
    """A fault of the program must be seen, and its records must come again."""
    changes = Changes()

    def fails(batch: Sequence[TableAction]) -> None:
        raise ZeroDivisionError("a fault")

    sink = Recording(fails)
    feed = InMemoryFeed([changes.write(1)])
    with pytest.raises(ZeroDivisionError):
        run(sink, feed)
    assert feed.committed.get(USERS, 0) == 0
    assert sink.closed


def test_naming_records_that_were_not_in_the_batch_is_an_error():
    """Otherwise nothing would come again, and all would be counted as done."""
    changes = Changes()

    def fails(batch: Sequence[TableAction]) -> None:
        raise TryAgain("copies", [TableAction(**{f: getattr(one, f) for f in one.__slots__}) for one in batch])

    with pytest.raises(ValueError, match="not in its batch"):
        run(Recording(fails), InMemoryFeed([changes.write(1)]))


def test_a_stop_applies_what_is_in_flight_and_commits_it():
    """A deployment must not repeat a second's work each time (S78)."""
    changes = Changes()
    begun, release = threading.Event(), threading.Event()

    def slow(batch: Sequence[TableAction]) -> None:
        begun.set()
        assert release.wait(10)

    sink = Recording(slow)
    feed = InMemoryFeed([changes.write(n) for n in range(100)])
    runner = Runner(feed, [Route("test", sink, lambda r: True, workers=1)], ActionDecoder().action, SetAsideRecords())
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert begun.wait(10)
    runner.stop()
    release.set()
    thread.join(10)
    assert not thread.is_alive()
    assert feed.committed == {USERS: 100}


def test_a_stop_while_the_target_is_away_leaves_its_records_for_the_next_start():
    """They are not applied, so they must not be committed; and the stop must not wait for the target."""
    changes = Changes()
    refused = threading.Event()

    def away(batch: Sequence[TableAction]) -> None:
        refused.set()
        raise TryAgain("connection refused")

    feed = InMemoryFeed([changes.write(n) for n in range(100)])
    limits = Limits(stop_seconds=0.1)
    routes = [Route("test", Recording(away), lambda r: True, workers=1)]
    runner = Runner(feed, routes, ActionDecoder().action, SetAsideRecords(), limits)
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert refused.wait(10)
    assert not runner.ready
    runner.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert feed.committed.get(USERS, 0) == 0


def test_records_of_a_partition_that_was_taken_away_are_not_applied():
    """Its new owner applies them, and newer ones; ours would come late."""
    changes = Changes()
    begun, release = threading.Event(), threading.Event()

    def slow(batch: Sequence[TableAction]) -> None:
        begun.set()
        assert release.wait(10)

    sink = Recording(slow)
    feed = InMemoryFeed([changes.write(n) for n in range(100)])
    limits = Limits(stop_seconds=0.1)
    routes = [Route("test", sink, lambda r: True, workers=1, batch_records=10)]
    runner = Runner(feed, routes, ActionDecoder().action, SetAsideRecords(), limits)
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert begun.wait(10)
    runner.lost([USERS])
    release.set()
    thread.join(10)
    assert len(sink.applied) == 10
    assert feed.committed.get(USERS, 0) == 0


def test_two_routes_are_both_waited_for():
    """An offset that is committed when the first of two callbacks is done loses the record for the second."""
    changes = Changes()
    records = [changes.write(n) for n in range(10)]
    first, second = Recording(), Recording()
    feed = InMemoryFeed(records)
    routes = [Route("first", first, lambda r: True), Route("second", second, lambda r: r.action is Action.WRITE)]
    Runner(feed, routes, ActionDecoder().action, SetAsideRecords()).run()
    assert {one.seq for one in first.applied} == {one.seq for one in second.applied} == {one.seq for one in records}
    assert feed.committed == {USERS: 10}


@settings(max_examples=60, deadline=None)
@given(
    keys=st.lists(st.integers(0, 8), min_size=1, max_size=60),
    verdicts=st.lists(st.sampled_from(["ok", "ok", "ok", "away", "some", "reject"]), max_size=30),
    workers=st.integers(1, 3),
    batch_records=st.integers(1, 9),
)
def test_whatever_fails_each_record_is_applied_in_the_order_of_its_key_or_set_aside(
    keys: list[int], verdicts: list[str], workers: int, batch_records: int
):
    """At least once, never out of order per key, never skipped, and everything committed at the end."""
    changes = Changes()
    records = [changes.update(key) for key in keys]
    left = list(verdicts)
    durable: list[int] = []
    lock = threading.Lock()

    def fails(batch: Sequence[TableAction]) -> None:
        with lock:
            verdict = left.pop() if left else "ok"
            if verdict == "away":
                raise TryAgain("away")
            if verdict == "reject":
                raise Rejected("never", [batch[-1]])
            bad = {batch[0].pk} if verdict == "some" else set()
            durable.extend(one.seq for one in batch if one.pk not in bad)
            if bad:
                raise TryAgain("some", [one for one in batch if one.pk in bad])

    feed = InMemoryFeed(records)
    aside = run(Recording(fails), feed, workers=workers, batch_records=batch_records)
    set_aside = {records[message.offset()].seq for message, _, _ in aside.letters}
    assert set(durable) | set_aside == {one.seq for one in records}
    for pk, expected in tables_of(records).items():
        mine = [seq for seq in durable if seq in set(expected)]
        firsts = list(dict.fromkeys(mine))
        assert firsts == sorted(firsts), f"the records of {pk} were first applied as {mine}"
        assert not mine or mine[-1] == max(mine), f"the last that was applied of {pk} is not its newest: {mine}"
    assert feed.committed == {USERS: len(records)}


def test_what_is_done_in_the_middle_of_a_batch_is_committed():
    """A function that takes a second must not have a thousand calls repeated because the last was not done (S75)."""
    changes = Changes()
    hung, release = threading.Event(), threading.Event()

    def slow(batch: Sequence[TableAction]) -> None:
        if batch[0].pk == (70,):
            hung.set()
            assert release.wait(10)

    feed = InMemoryFeed([changes.write(n) for n in range(100)])
    routes = [Route("test", Recording(slow), lambda r: True, workers=1, batch_records=10)]
    limits = Limits(stop_seconds=0.1)
    runner = Runner(feed, routes, ActionDecoder().action, SetAsideRecords(), limits)
    thread = threading.Thread(target=runner.run)
    thread.start()
    assert hung.wait(10)
    runner.stop()
    release.set()
    thread.join(10)
    assert feed.committed[USERS] >= 70


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=20), st.randoms())
def test_the_least_open_offset_is_found_whatever_is_done(deliveries: list[tuple[int, bool]], chance: Any):
    """An offset too high loses records, one too low repeats them."""
    span = Span(Claim())
    done: list[int] = []
    for offset, (routes, finished) in enumerate(deliveries, start=100):
        span.offsets += [offset] * routes
        done += [offset] * (routes if finished else chance.randrange(routes))
    chance.shuffle(done)
    span.done = done
    left = Counter(span.offsets) - Counter(done)
    if left:
        assert span.least_open() == min(left)
