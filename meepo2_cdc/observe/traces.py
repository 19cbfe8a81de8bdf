"""
OpenTelemetry traces: a span for each batch that a capture commits, and for each that a sink applies.

Off, and the library not even imported, unless a standard variable asks for it: OTEL_TRACES_EXPORTER,
OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.  An application that has set a tracer provider of its
own gets the spans in there.  Nothing is added to records: what is traced is this process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import structlog

import meepo2_cdc
from meepo2_cdc.observe.redaction import hide, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Span, Tracer

    from meepo2_cdc.observe.metrics import Counts
    from meepo2_cdc.records import TableAction
    from meepo2_cdc.records.checkpoint import Checkpoint

log = structlog.get_logger()

_ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_WITH_KEYS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
"""What somebody pays for their traces with, in most cases."""
_OFF: AbstractContextManager[None] = nullcontext()
_tracer: Tracer | None = None
Facts = dict[str, str | int]


def set_up(service: str, environment: Mapping[str, str] | None = None) -> None:
    """Begins to trace where the environment asks for it; `service` is the name where OTEL_SERVICE_NAME gives none."""
    global _tracer
    environment = os.environ if environment is None else environment
    if not _asked_for(environment):
        return
    hide(part.partition("=")[2] for name in _WITH_KEYS for part in environment.get(name, "").split(","))
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ModuleNotFoundError:
        asking = ", ".join(name for name in _ASKING if environment.get(name))
        log.warning("Traces are asked for, and OpenTelemetry is not installed", by=asking,
                    fix="pip install 'meepo2-cdc[otel]'")  # fmt: skip
        return
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_provider(service, environment))
    _tracer = trace.get_tracer("meepo2_cdc", meepo2_cdc.__version__)
    log.info("Traces are sent", service=environment.get("OTEL_SERVICE_NAME", service))


def _asked_for(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER")
    return exporter != "none" and any(environment.get(name) for name in _ASKING)


def _provider(service: str, environment: Mapping[str, str]) -> Any:
    """Sampler, limits and resource come from the variables by the SDK itself."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": service}))
    for name in environment.get("OTEL_TRACES_EXPORTER", "otlp").split(","):
        exporter = _exporter(name.strip(), environment)
        if exporter is not None:
            provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _exporter(name: str, environment: Mapping[str, str]) -> Any:
    """By the entry point under which its package offers it; None, and a warning, where nobody does."""
    if name == "otlp":
        general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general)
        name = f"otlp_proto_{'grpc' if protocol == 'grpc' else 'http'}"
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        return found.load()()
    package = f"opentelemetry-exporter-{name.replace('_', '-')}"
    log.warning("Traces are not sent to an exporter that is not installed", exporter=name, fix=f"pip install {package}")
    return None


def batch(waited_seconds: float, counts: Counts, checkpoint: Checkpoint) -> AbstractContextManager[None]:
    """From the first record that was read, `waited_seconds` ago, until the block ends: the commit is in it."""
    return _OFF if _tracer is None else _batch(_tracer, time.time_ns(), waited_seconds, counts, checkpoint)


@contextmanager
def _batch(
    tracer: Tracer, submitted_ns: int, waited_seconds: float, counts: Counts, checkpoint: Checkpoint
) -> Iterator[None]:
    facts: Facts = {
        "messaging.system": "kafka",
        "messaging.batch.message_count": sum(sum(one.values()) for one in counts.values()),
        "meepo2_cdc.source": checkpoint.source,
        "meepo2_cdc.seq": checkpoint.seq,
        "meepo2_cdc.position": f"{checkpoint.file}:{checkpoint.position}",
        "meepo2_cdc.tables": len(counts),
    }
    began_ns = submitted_ns - int(waited_seconds * 1e9)
    with _span(tracer, "capture batch", facts, began_ns), _span(tracer, "commit", {}, submitted_ns):
        yield


def apply(connector: str, records: Sequence[TableAction]) -> AbstractContextManager[None]:
    """While a sink has a batch; spans of its client library are children of this one."""
    if _tracer is None:
        return _OFF
    facts: Facts = {
        "messaging.batch.message_count": len(records),
        "meepo2_cdc.connector": connector,
        "meepo2_cdc.seq.first": records[0].seq,
        "meepo2_cdc.seq.last": records[-1].seq,
    }
    return _span(_tracer, f"apply {connector}", facts, time.time_ns())


@contextmanager
def _span(tracer: Tracer, name: str, facts: Facts, start_ns: int) -> Iterator[None]:
    """One that failed says why, but without the traceback that the library would add, in which anything may be."""
    from opentelemetry.trace import Status, StatusCode

    with tracer.start_as_current_span(
        name, attributes=facts, start_time=start_ns, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, redacted(f"{type(error).__name__}: {error}")))
            raise


def current_ids() -> dict[str, str]:
    """Of the span that the calling thread is in, for its lines in the log; empty without one."""
    if _tracer is None:
        return {}
    from opentelemetry import trace

    span: Span = trace.get_current_span()
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
