"""
The port at which a replay ends: what a connector implements.

A connector imports this, `meepo2_cdc.records`, `meepo2_cdc.errors` and its own client library, nothing else of ours
but `meepo2_cdc.replay.rows` where it needs the rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from meepo2_cdc.records import TableAction

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows


class Sink(Protocol):
    """
    Somewhere a replay ends.  `open` once, `apply` never concurrently for the same key, `close` once.

    With more than one worker `apply` is called from several threads at a time, each with keys of its own.
    """

    def open(self) -> None:
        """Connect, and fail here rather than on the first record: ConfigError for what a person must mend."""

    def apply(self, batch: Sequence[TableAction]) -> None:
        """
        Make the batch durable, then return.  Returning is the acknowledgement.

        Must be repeatable: after a crash the same batch arrives again, and older records after newer ones when a
        topic is replayed.  A batch holds at least one record, those of one key in their order.  A truncate comes in
        every partition of its topic: remove what the source no longer has, never everything.

        Raises TryAgain to get records later, Rejected to set records aside.  Anything else stops the process.
        """

    def close(self) -> None:
        """Let go of what `open` took; called also after a failed `apply`, never after a failed `open`."""


class TryAgain(Exception):
    """
    Not now.

    Without `records` the target as a whole is away: the same batch comes again, after growing delays, for as long as
    it takes.  With `records`, these failed by themselves and the rest of the batch is durable: they alone come again,
    records of other keys go on meanwhile, and after `run.tries` they are dead letters.  `after_seconds` is the least
    time to wait, where the target named one.
    """

    def __init__(self, why: str, records: Sequence[TableAction] = (), after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.records = tuple(records)
        self.after_seconds = after_seconds


class Rejected(Exception):
    """
    Never: the target will not take these records, however often it is asked.

    They go to the dead letters with `why`; the rest of the batch comes again at once, whether it is durable or not.
    """

    def __init__(self, why: str, records: Sequence[TableAction]) -> None:
        super().__init__(why)
        if not records:
            raise ValueError("Rejected names the records that it means")
        self.why = why
        self.records = tuple(records)


class ConnectorSettings(BaseModel):
    """
    What a connector's own settings derive from: a field is a setting, the text under it its documentation.

    They are read from the section named after the connector and from `MEEPO2_<CONNECTOR>_<SETTING>`.  A field of type
    SecretStr can be given as `<setting>_file` too, the name of a file that holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Context:
    """What the program knows and a connector may need."""

    prefix: str
    """First part of the topics' names: what tells two deployments apart."""
    source_rows: Callable[[], SourceRows]
    """Opens a reader of the source's rows, by [source]; raises ConfigError where that is not set."""


S = TypeVar("S", bound=ConnectorSettings)


@dataclass(frozen=True, slots=True)
class Connector(Generic[S]):
    """What an entry point of the group `meepo2_cdc.connectors` names; the entry point's name is the connector's."""

    summary: str
    """One line: what it does, in the list of connectors."""
    settings: type[S]
    sink: Callable[[S, Context], Sink]
    """Makes the sink; connects to nothing yet."""
    coalesce: bool = True
    """Whether the newest of several waiting records of one key may stand for all: right where the sink writes the
    state of now, wrong where it tells of each change."""
    actions: Sequence[str] = ("write", "update", "delete", "truncate")
    """The actions that it wants to hear of."""


AnyConnector = Connector[Any]
