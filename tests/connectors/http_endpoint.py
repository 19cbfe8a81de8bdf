"""
An HTTP server that can be told what to answer, and can be stopped and started at its address; and the sink for it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from meepo2_connectors.webhook.settings import Settings
from meepo2_connectors.webhook.sink import WebhookSink
from tests.services import running


@dataclass(frozen=True, slots=True)
class Request:
    headers: Mapping[str, str]
    body: bytes
    path: str

    @property
    def events(self) -> list[dict[str, Any]]:
        found = json.loads(self.body)
        return found if isinstance(found, list) else [found]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    hears: bool = True
    """Whether the events count as told."""
    breaks: bool = False
    """Whether the connection ends in place of an answer."""


class Endpoint:
    """Real HTTP on a fixed port; `answers` decides, `told` holds the events of requests that were heard, in order."""

    def __init__(self, port: int, answers: Callable[[Request], Answer] = lambda _: Answer()) -> None:
        self.port = port
        self.answers = answers
        self.requests: list[Request] = []
        self.told: list[dict[str, Any]] = []
        self.tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}/changes"

    def answer(self, request: Request) -> Answer:
        answer = self.answers(request)
        with self._lock:
            self.requests.append(request)
            if answer.hears and 200 <= answer.status < 300:
                self.told += request.events
        return answer

    def start(self) -> None:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Also what is under way ends without an answer."""
        if self._server is not None:
            self._server.end()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", endpoint.port), _Handler)
        if endpoint.tls is not None:
            self.socket = endpoint.tls.wrap_socket(self.socket, server_side=True)

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for one in list(self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """A connection that was cut is what the test wants."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_HEAD(self) -> None:
        self._send(Answer())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.endpoint.answer(Request(dict(self.headers), body, self.path))
        if answer.breaks:
            self.close_connection = True
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def started(directory: Path) -> Iterator[Endpoint]:
    """An endpoint that answers; its port is remembered in the directory."""
    one = Endpoint(running.ports(directory, 1)[0])
    one.start()
    try:
        yield one
    finally:
        one.stop()


def sink_for(endpoint: Endpoint, **settings: Any) -> WebhookSink:
    return WebhookSink(Settings(url=SecretStr(endpoint.url), **settings), "shop")


@contextmanager
def opened(endpoint: Endpoint, **settings: Any) -> Iterator[WebhookSink]:
    sink = sink_for(endpoint, **settings)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def told_keys(endpoint: Endpoint) -> list[Any]:
    return [event["data"]["pk"][0] for event in endpoint.told]


def always(answer: Answer) -> Callable[[Request], Answer]:
    return lambda _: answer
