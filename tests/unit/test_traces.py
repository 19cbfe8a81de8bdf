"""
Spans: what is told of a batch, when nothing is, and that a failure is told without secrets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from meepo2_cdc.capture.committer import Committer
from meepo2_cdc.kafka.writer import Message
from meepo2_cdc.observe import redaction, traces
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.replay.feeds import ListFeed
from meepo2_cdc.replay.lanes import Route
from meepo2_cdc.replay.runner import Runner
from meepo2_cdc.replay.sink import Rejected
from meepo2_cdc.testing.messages import InMemoryMessage
from tests.kafka import record

CHECKPOINT = Checkpoint(
    source="db", flavor="mysql", server=None, gtid_set=None, file="binlog.000001", position=4, gtid=None,
    rows_done=0, undecided=None, seq=7, tables=("*.*",), committed_at=None, written_by="a test",
    written_at=datetime(2026, 7, 1, tzinfo=UTC),
)  # fmt: skip
ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


class Now:
    """An executor that does not wait."""

    def submit(self, work: Any, *arguments: Any) -> Future[None]:
        done: Future[None] = Future()
        try:
            done.set_result(work(*arguments))
        except RuntimeError as error:
            done.set_exception(error)
        return done


class Writer:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.said: list[dict[str, str]] = []

    def write(self, messages: dict[str, list[Message]], checkpoint: Checkpoint) -> None:
        self.said.append(traces.current_ids())
        if self.error is not None:
            raise self.error


def commit(writer: Writer) -> None:
    committer = Committer(writer, Now(), lambda _: None)  # type: ignore[arg-type]
    committer.submit({}, {"a.b": {Action.WRITE: 2, Action.DELETE: 1}}, CHECKPOINT, waited_seconds=5.0)
    committer.settle()


def test_a_batch_is_a_span_from_its_first_record_to_its_commit(spans: InMemorySpanExporter):
    """Where the time goes: collecting, or Kafka."""
    writer = Writer()
    commit(writer)
    inner, batch = spans.get_finished_spans()
    assert (inner.name, batch.name) == ("commit", "capture batch")
    assert inner.parent is not None
    assert inner.parent.span_id == batch.context.span_id
    assert seconds(batch) >= 5.0 > seconds(inner)
    assert batch.attributes is not None
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert batch.attributes["meepo2_cdc.seq"] == CHECKPOINT.seq
    assert writer.said[0]["trace_id"] == f"{batch.context.trace_id:032x}"  # lines of the log can be found by it


def seconds(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_a_commit_that_failed_is_told_without_secrets(spans: InMemorySpanExporter):
    """Traces go to a service of somebody else's, often enough."""
    redaction.hide(["very-secret"])
    with pytest.raises(RuntimeError):
        commit(Writer(RuntimeError("no login for u:very-secret")))
    redaction.forget()
    for span in spans.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert "no login for u:***" in str(span.status.description)
        assert "very-secret" not in span.to_json()


class Refusing:
    def __init__(self) -> None:
        self.calls = 0

    def open(self) -> None: ...

    def close(self) -> None: ...

    def apply(self, batch: list[TableAction]) -> None:
        self.calls += 1
        if self.calls == 1:
            raise Rejected("no", [batch[0]])


class Aside:
    def put(self, *_: Any) -> None: ...


def test_what_a_sink_is_given_is_a_span_each_time(spans: InMemorySpanExporter):
    """A target that is slow, or refuses, is found in the same place as the program that waits for it."""
    feed = ListFeed([InMemoryMessage.of(record(seq), seq) for seq in (7, 8)])
    route = Route("theirs", Refusing(), lambda _: True, workers=1)
    Runner(feed, [route], ActionDecoder().action, Aside()).run()
    first, second = spans.get_finished_spans()
    assert {first.name, second.name} == {"apply theirs"}
    assert first.attributes is not None
    assert (first.attributes["meepo2_cdc.seq.first"], first.attributes["meepo2_cdc.seq.last"]) == (7, 8)
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    "environment",
    [{}, ASKED | {"OTEL_SDK_DISABLED": "true"}, ASKED | {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SERVICE_NAME": "x"}],
)
def test_nothing_is_traced_unless_it_is_asked_for(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Spans nobody takes cost time, and a collector that nobody set would be looked for in vain."""
    monkeypatch.setattr(traces, "_tracer", None)
    traces.set_up("test", environment)
    assert traces._tracer is None
    assert traces.batch(1.0, {}, CHECKPOINT) is traces.apply("x", [])


def test_traces_that_are_asked_for_and_cannot_be_made_are_told(monkeypatch: pytest.MonkeyPatch):
    """A cluster sets the variables for all; the capture must run all the same, and say why there are no traces."""
    told: list[dict[str, str]] = []
    monkeypatch.setattr(traces, "_tracer", None)
    monkeypatch.setattr(traces, "log", SimpleNamespace(warning=lambda event, **facts: told.append(facts)))
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    traces.set_up("test", ASKED)
    assert traces._tracer is None
    assert told == [{"by": "OTEL_EXPORTER_OTLP_ENDPOINT", "fix": "pip install 'meepo2-cdc[otel]'"}]
