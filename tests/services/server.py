"""
What a server must tell for `up` to get it one way or another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.addresses import VARIABLES
from tests.services.running import Command


@dataclass(frozen=True, slots=True)
class Container:
    """An image and how it is run; `port` is the one inside, `mounts` are our directory to the one inside."""

    image: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    mounts: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """
    One kind of server.

    `address` makes the address from host and port.  `why_silent` makes one real request to an address and
    returns "" when it was answered.  `command` readies a directory (downloads, data) and returns what to run
    on the given ports, of which it needs `ports`.  `tools` are programs that came with it: a name in
    VARIABLES to a path.
    """

    name: str
    address: Callable[[str, int], str]
    why_silent: Callable[[str], str]
    command: Callable[[Path, Sequence[int]], Command]
    container: Callable[[Path, str, int], Container]
    ports: int = 1
    tools: Callable[[Path], Mapping[str, str]] = lambda directory: {}

    @property
    def variable(self) -> str:
        return VARIABLES[self.name]
