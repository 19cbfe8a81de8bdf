"""
A TCP link that can be cut, slowed, stalled and sliced while it is in use.

    with Proxy("127.0.0.1", 3306) as proxy:
        connect("127.0.0.1", proxy.port)
        with proxy.having(stalled=BOTH_WAYS):
            ...
        proxy.cut()

Knows bytes and connections; knows no protocol.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

UP, DOWN = "up", "down"
"""Towards the server, and back."""
BOTH_WAYS = frozenset((UP, DOWN))
_PIECE_BYTES = 1 << 16
_STALL_POLL_SECONDS = 0.01
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, for no time at all


@dataclass(frozen=True, slots=True)
class Weather:
    """
    How the link is now, for the connections there are and for those to come.

    Each piece waits for `delay_seconds` and for its share of `bytes_per_second`; a stalled way is silent, and with both
    stalled a connection is accepted and never answered.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float = 0.0
    piece_bytes: int = _PIECE_BYTES
    stalled: frozenset[str] = frozenset()

    def pause_of(self, size: int) -> float:
        return self.delay_seconds + (size / self.bytes_per_second if self.bytes_per_second else 0.0)


class Proxy:
    """
    Listens on `port` while it is open, always on the same; passes on to `target`, which may be set anew.

    With `tls` its own side is encrypted, as before a server that knows nothing of it.
    """

    def __init__(self, host: str, port: int, listen_on: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.target = host, port
        self.port = listen_on
        self._tls = tls
        self.weather = Weather()
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._deafen())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- what can happen to the link

    def cut(self) -> None:
        """Every connection ends by a reset, as when a firewall forgets it."""
        self._do(self._cut())

    @contextmanager
    def having(self, **changes: Any) -> Iterator[None]:
        """Other weather for a while."""
        before = self.weather
        self.weather = replace(before, **changes)
        try:
            yield
        finally:
            self.weather = before

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens for a while, and no connection is left."""
        self._do(self._deafen())
        try:
            yield
        finally:
            self._do(self._listen())

    # -- within the loop

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        for link in list(self._links):
            for end in link:
                if (connected := end.get_extra_info("socket")) is not None:  # an encrypted one may be gone by itself
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                end.transport.abort()
        self._links.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer, to_server)
        self._links.add(link)
        ways = [
            asyncio.ensure_future(self._pump(reader, to_server, UP)),
            asyncio.ensure_future(self._pump(from_server, writer, DOWN)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._links.discard(link)
        for end in link:
            end.close()
        for way in ways:
            way.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        """Until one of the two ends is gone."""
        try:
            while piece := await reader.read(self.weather.piece_bytes):
                while way in self.weather.stalled and not writer.is_closing():
                    await asyncio.sleep(_STALL_POLL_SECONDS)
                if (pause := self.weather.pause_of(len(piece))) > 0:
                    await asyncio.sleep(pause)
                if writer.is_closing():
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            return
