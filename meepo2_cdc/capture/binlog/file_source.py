"""
Log files on this machine as something to capture, in the place of the server that wrote them.

The checkpoint is the same as that of a capture of the server: files go on where it is, and a capture of the server goes
on where the files end.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from meepo2_cdc.capture.binlog.catalog import ServerCatalog
from meepo2_cdc.capture.binlog.connection import connect
from meepo2_cdc.capture.binlog.executed import Executed, ExecutedOnMariadb, is_up_to
from meepo2_cdc.capture.binlog.log_files import FIRST_EVENT, LogFile, ordered
from meepo2_cdc.capture.binlog.offline_catalog import OfflineCatalog
from meepo2_cdc.capture.binlog.start import START_FORMS, Start, behind, moment_of
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.capture.binlog.survey import Looked, Survey, rotation, survey
from meepo2_cdc.capture.binlog.transactions import Position, Since
from meepo2_cdc.capture.checkpointing import position_of
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError, PositionLost
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import GtidSet, LogPosition, gtid_set

log = structlog.get_logger()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GIVE_EARLIER = "Give the files from that on which the checkpoint is in, or use another prefix for an audit."


class FileSource:
    """
    The `Source` of the capture service.

    `identity` is that of the server where the files tell it, which is on MariaDB.  On MySQL, where global ids say what
    is done, it is nobody's; where there are none it is that of the checkpoint, whose files these must be.
    """

    def __init__(self, settings: SourceSettings, files: Sequence[Path]) -> None:
        self._files = ordered(files)
        self._settings = settings
        self.address = _between(self._files)
        self.identity = ""

    def prepare(self) -> None:
        self._found: Survey = survey(self._files)
        is_set = self._settings.dsn is not None or self._settings.dsn_file is not None
        server = (
            ServerCatalog(lambda: connect(self._settings), assume_present_keys=self._settings.assume_present_keys)
            if is_set
            else None
        )
        self.catalog = OfflineCatalog(server, is_mariadb=self._found.is_mariadb)
        log.info("Log files were looked through", files=len(self._files), end=str(self._found.end))

    @property
    def flavor(self) -> str:
        return "mariadb" if self._found.is_mariadb else "mysql"

    @property
    def version(self) -> str:
        return self._found.files[0].head.version

    @property
    def has_gtids(self) -> bool:
        return self._found.is_mariadb or self._found.gtids is not None

    @property
    def _own_identity(self) -> str:
        return str(self._found.files[-1].head.server_id) if self._found.is_mariadb else ""

    # -- where to begin

    def resume(self, checkpoint: Checkpoint) -> Start:
        if checkpoint.flavor != self.flavor:
            raise PositionLost(f"the checkpoint is of a {checkpoint.flavor} server, and the files are {self.flavor}")
        published = position_of(checkpoint, with_gtids=self.has_gtids)
        if published.gtids is None:
            self.identity = checkpoint.server or ""
            start = behind(published)
            self._require_file(start.position)
            return start
        if self._is_done(published):
            self.identity = checkpoint.server or ""  # the position is not ours
            return Start(published, Since())
        self.identity = self._own_identity
        start = behind(replace(published, file="", offset=0))
        self._require(published.gtids, start.position.gtids or published.gtids)
        return start

    def begin(self, text: str) -> Start:
        """latest, which would be nothing, is where the files begin."""
        self.identity = self._own_identity
        first = Position(self._files[0].name, FIRST_EVENT, None)
        if text in ("latest", "earliest"):
            return Start(first, Since())
        if found := re.fullmatch(r"([^:\s]+\.\d+):(\d+)", text):
            at = Position(found[1], int(found[2]), None)
            self._require_file(at)
            return Start(at, Since()) if not self.has_gtids else _since(at)
        if (moment := moment_of(text)) is not None:
            return Start(first, Since(committed_us=(moment - _EPOCH) // timedelta(microseconds=1)))
        return self._begin_behind(text)

    def _begin_behind(self, text: str) -> Start:
        try:
            gtids = gtid_set(self.flavor, text)
        except ValueError as error:
            raise ConfigError(f"start is {text!r}: {error}", fix=START_FORMS) from error
        if not self.has_gtids:
            raise ConfigError("start is a GTID set, and the files have none", fix=START_FORMS)
        start = Start(Position("", 0, gtids), Since())
        if not self._is_done(start.position):
            self._require(gtids, gtids)
        return start

    def _is_done(self, position: Position) -> bool:
        """Whether the files have nothing that is not published."""
        if position.gtids is None:
            return LogPosition(position.file, position.offset) == self._found.end
        gtids = self._found.gtids
        return gtids is not None and gtids.is_within(position.gtids) and position.undecided is None

    def _require_file(self, position: Position) -> None:
        """Without global ids, the file's name is all that there is to go by."""
        if self._is_done(position) or any(file.name == position.file for file in self._files):
            return
        raise PositionLost(
            f"the checkpoint is {position.file}:{position.offset}, and the files given are {self.address}",
            fix=_GIVE_EARLIER,
        )

    def _require(self, published: GtidSet, begin: GtidSet) -> None:
        """As a server is asked: what is published must be part of the history that these files go on with."""
        self._first_behind(begin)
        if self._found.is_mariadb:
            missing = [
                gtid
                for gtid in str(published).split(",")
                if gtid and not any(is_up_to(gtid, one) for one in self._found.last.values())
            ]
        else:
            missing = [] if published.is_within(self._found.gtids or published) else [str(published)]
        if missing:
            raise PositionLost(
                f"the files have transactions that are not published, and not all that are: published are {published},"
                f" and the files end at {self._found.gtids}",
                fix="They are those of a server with another history; use another prefix for an audit.",
            )

    def _first_behind(self, gtids: GtidSet) -> Looked:
        """The last file before which nothing was executed that is not in the set."""
        for looked in reversed(self._found.files):
            if looked.earlier is not None and looked.earlier.is_within(gtids):
                return looked
        first = self._found.files[0]
        raise PositionLost(
            f"files before {first.file.path} are missing: it goes on behind {first.earlier}, and published are {gtids}",
            fix=_GIVE_EARLIER,
        )

    # -- reading

    def end(self) -> LogPosition:
        return self._found.end

    def await_commit(self, checkpoint: Checkpoint, stopping: threading.Event) -> None:
        """Nobody can be faster than the archive."""

    @contextmanager
    def read(self, position: Position) -> Iterator[_Files]:
        files = self._found.files
        if self._is_done(position):
            yield _Files(self._found, [], FIRST_EVENT)
        elif position.gtids is not None:
            first = self._first_behind(position.gtids)
            executed = (
                ExecutedOnMariadb(position.gtids, first.earlier_by_server)
                if self._found.is_mariadb
                else Executed(position.gtids)
            )
            yield _Files(self._found, files[files.index(first) :], FIRST_EVENT, executed)
        else:
            at = [looked.file.name for looked in files].index(position.file)
            yield _Files(self._found, files[at:], position.offset)

    def close(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()


class _Files:
    """The EventStream of files up to the last whole transaction; then it raises what is wrong behind that, if any."""

    def __init__(self, found: Survey, files: Sequence[Looked], begin: int, executed: Executed | None = None) -> None:
        self._found = found
        self._files = files
        self._begin = begin
        self._executed = executed
        self.heard_at = time.monotonic()
        self.tick_ms = 0

    def events(self) -> Iterator[Event | None]:
        begin, end = self._begin, self._found.end
        for looked in self._files:
            yield rotation(looked)
            at = begin
            for event in looked.file.events(begin):
                at += event.size
                self.heard_at = time.monotonic()
                if looked.file.name == end.file and at > end.offset:
                    break
                if self._executed is None or not self._executed.passes_over(event):
                    yield event
            begin = FIRST_EVENT
        if self._found.broken is not None:
            raise self._found.broken


def _since(at: Position) -> Start:
    """Read from the file's beginning, which tells the ids of all that came before."""
    return Start(Position(at.file, FIRST_EVENT, None), Since(position=LogPosition(at.file, at.offset)))


def _between(files: Sequence[LogFile]) -> str:
    first, last = files[0].path, files[-1].path
    return str(first) if len(files) == 1 else f"{first} to {last.name}"
