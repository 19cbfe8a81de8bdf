"""
`python -m meepo2_connectors.zmq.proxy FRONTEND BACKEND`: many publishers and many subscribers meet at two addresses.

Publishers connect to the frontend (XSUB), subscribers to the backend (XPUB); subscriptions are passed on, so a
publisher sends only what somebody wants.  Ends at SIGTERM and SIGINT.
"""

from __future__ import annotations

import signal
import threading
from typing import Literal

import click
import zmq


@click.command(
    epilog="""\b
Example:
  python -m meepo2_connectors.zmq.proxy tcp://*:5555 tcp://*:5556
"""
)
@click.argument("frontend")
@click.argument("backend")
@click.option(
    "--high-water-mark", default=10_000, show_default=True, type=click.IntRange(1),
    help="Most messages that wait for one subscriber.",
)  # fmt: skip
@click.option(
    "--when-full", default="wait", show_default=True, type=click.Choice(["wait", "drop"]),
    help="wait: publishers wait for the slowest subscriber.  drop: a slow subscriber misses messages, silently.",
)  # fmt: skip
def main(frontend: str, backend: str, high_water_mark: int, when_full: Literal["wait", "drop"]) -> None:
    """Forward what publishers send to the address FRONTEND to the subscribers of the address BACKEND."""
    context = zmq.Context()
    publishers, subscribers = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    publishers.setsockopt(zmq.RCVHWM, high_water_mark)
    subscribers.setsockopt(zmq.SNDHWM, high_water_mark)
    subscribers.setsockopt(zmq.XPUB_NODROP, when_full == "wait")
    for socket, address in ((publishers, frontend), (subscribers, backend)):
        _bind(context, socket, address)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=_forward, args=(publishers, subscribers, stopping), daemon=True).start()
    click.echo(f"forwarding from {frontend} to {backend}", err=True)
    stopping.wait()
    context.term()  # ends the forwarding, whose thread then closes the sockets


def _bind(context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes], address: str) -> None:
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise click.BadParameter(f"{address} cannot be bound: {error.strerror}") from error


def _forward(publishers: zmq.Socket[bytes], subscribers: zmq.Socket[bytes], stopping: threading.Event) -> None:
    try:
        zmq.proxy(publishers, subscribers)
    except zmq.ContextTerminated:
        pass  # told to stop
    finally:
        stopping.set()
        for socket in (publishers, subscribers):
            socket.close(linger=1000)


if __name__ == "__main__":
    main(prog_name="python -m meepo2_connectors.zmq.proxy")
