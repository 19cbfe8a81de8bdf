"""
The HTTP server of a service: probes, metrics, the status page and its events.

    /livez        200 while the main loop moves
    /readyz       200 while the service does its work, or waits for its turn to
    /metrics      Prometheus
    /             the status page, and at /events what changes on it
    /status.json  the same facts once

Only reads, and has no login: it listens on 127.0.0.1 unless it is told otherwise.
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, make_wsgi_app

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.observe import metrics
from meepo2_cdc.observe.content import Subject
from meepo2_cdc.observe.live import BUSY, Live
from meepo2_cdc.observe.page import SECURITY_HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = structlog.get_logger()

_REQUEST_SECONDS = 30.0
"""A client that sends or takes nothing for so long is let go."""
_CONNECTIONS = 64
_POLL_SECONDS = 0.2
_ALWAYS = (("Cache-Control", "no-store"), ("Server", "meepo2-cdc"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen; `section` is that of the settings that say so."""

    host: str
    port: int
    section: str


class Answer(NamedTuple):
    """A response; `body` may go on for as long as somebody listens."""

    status: HTTPStatus
    kind: str
    body: Iterable[bytes]
    headers: tuple[tuple[str, str], ...] = ()


class Pages:
    """What is answered at which path: a WSGI application."""

    def __init__(self, subject: Subject, live_seconds: float) -> None:
        self._subject = subject
        self._live_seconds = live_seconds
        self.live = Live(subject)
        self._metrics = make_wsgi_app(metrics.registry_of(subject.role))
        self._answers: dict[str, Callable[[], Answer]] = {
            "/": self._page,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/events": self._events,
            "/status.json": self._facts,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == "/metrics" and method == "GET":
            return cast(Iterable[bytes], self._metrics(environ, start_response))
        answer = self._answered(path) if method in ("GET", "HEAD") else _NOTHING_CHANGES
        headers = [("Content-Type", answer.kind), *_ALWAYS, *SECURITY_HEADERS, *answer.headers]
        start_response(f"{answer.status.value} {answer.status.phrase}", headers)
        return [] if method == "HEAD" else answer.body

    def _answered(self, path: str) -> Answer:
        if path == "/metrics":
            return Answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, [])  # asked by HEAD
        if path not in self._answers:
            return _text(HTTPStatus.NOT_FOUND, f"There are {', '.join([*self._answers, '/metrics'])}.")
        try:
            return self._answers[path]()
        except Exception:  # a page that fails must not be taken for the service
            log.exception("A page could not be made", path=path)
            return _text(HTTPStatus.INTERNAL_SERVER_ERROR, "This page could not be made; the log says why.")

    def _page(self) -> Answer:
        return Answer(HTTPStatus.OK, "text/html; charset=utf-8", [self.live.page().encode()])

    def _facts(self) -> Answer:
        return _json(HTTPStatus.OK, self.live.facts())

    def _events(self) -> Answer:
        events = self.live.subscribe()
        if events is None:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)
        return Answer(HTTPStatus.OK, "text/event-stream; charset=utf-8", events, (("X-Accel-Buffering", "no"),))

    def _livez(self) -> Answer:
        health = self._subject.health()
        lives = health.lives(self._live_seconds)
        still = f"the main loop has not moved for {health.still_seconds:.0f} s, and may stand still for"
        why = [] if lives else [f"{still} {self._live_seconds:.0f} s (live_seconds)"]
        return _probe({"live": lives, "state": health.state, "why": why}, lives)

    def _readyz(self) -> Answer:
        health = self._subject.health()
        return _probe({"ready": health.ready, "state": health.state, "why": list(health.lacks)}, health.ready)


def _probe(body: dict[str, Any], good: bool) -> Answer:
    return _json(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, body)


def _json(status: HTTPStatus, body: Any) -> Answer:
    return Answer(status, "application/json", [json.dumps(_finite(body)).encode() + b"\n"])


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple | range) else value


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", [f"{text}\n".encode()])


_NOTHING_CHANGES = _text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD: nothing can be changed here.")._replace(
    headers=(("Allow", "GET, HEAD"),)
)


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        """Probes come every few seconds; nobody wants to read of them."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request, of which there are only so many."""

    daemon_threads = True
    request_queue_size = _CONNECTIONS

    def __init__(self, place: Place, application: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__((place.host, place.port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: is for both
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)  # the library would ask the name service for it
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or fell silent: nobody's trouble but its own."""
        log.debug("A request ended badly", exc_info=True)


class PageServer:
    """Serves from a thread of its own until it is closed.  Raises ConfigError where it cannot listen."""

    def __init__(self, subject: Subject, place: Place, live_seconds: float) -> None:
        self._pages = Pages(subject, live_seconds)
        try:
            self._server = _Server(place, self._pages)
        except OSError as error:
            raise ConfigError(
                f"{place.section}.metrics_port is {place.port}, and {place.host}:{place.port} cannot be listened on:"
                f" {error.strerror or error}",
                fix=f"Free it, or set another {place.section}.metrics_port or {place.section}.metrics_host.",
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="pages", daemon=True
        )

    def start(self) -> None:
        self._pages.live.start()
        self._thread.start()

    def close(self) -> None:
        self._pages.live.close()
        self._server.shutdown()
        self._server.server_close()
