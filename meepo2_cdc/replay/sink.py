"""
The port at which a replay ends: what a connector implements.

A connector imports this, `meepo2_cdc.records`, `meepo2_cdc.errors` and its own client library, nothing else of ours
but `meepo2_cdc.replay.rows` where it needs the rows of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from meepo2_cdc.records import KeyPart, TableAction

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


@dataclass(frozen=True, slots=True)
class Difference:
    """How a target differs from what its connector would write of a row now; `about` never holds a value of a row."""

    kind: Literal["missing", "extra", "different"]
    about: str = ""


class Replica(Protocol):
    """
    What a target has of the source's rows, for `meepo2-cdc verify`.  `open` once, `close` once.

    In between any number of threads call the others.
    Reads, and never writes.  Any call may raise what those of a Sink may, but for Rejected.
    """

    def open(self) -> None:
        """Connect; ConfigError too where the settings leave nothing that could be compared."""

    def place(self, schema: str, table: str) -> str:
        """
        Where the target has the table's rows, by a name; asks nobody.

        Of two tables with one place, nobody can tell whose row is whose.
        """

    def left_out(self, schema: str, table: str) -> str:
        """Why the target has nothing of this table on purpose; empty where it is to have its rows."""

    def differing(
        self, schema: str, table: str, rows: Mapping[tuple[KeyPart, ...], Mapping[str, Any] | None]
    ) -> Mapping[tuple[KeyPart, ...], Difference]:
        """
        Those of the rows that the target does not have as they are; None is a row that the source has not.

        At most some thousand at once.  What the connector leaves out on purpose is no difference.
        """

    def keys(self, schema: str, table: str) -> Iterator[Sequence[tuple[KeyPart, ...]]]:
        """The keys of all rows that the target has, some at a time, in any order; of none where it keeps no rows."""

    def close(self) -> None:
        """Let go of what `open` took."""


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
    rows: Callable[[S], bool] = lambda own: False
    """Whether it reads the topics of rows too, where each record is a RowChange."""
    replica: Callable[[S, Context], Replica] | None = None
    """What its target has, to be compared with the source; None where a target cannot be asked.  Connects to nothing
    yet."""


AnyConnector = Connector[Any]
