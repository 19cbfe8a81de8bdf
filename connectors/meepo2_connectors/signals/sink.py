"""
Calls the receivers of `meepo2_cdc.signals`, each isolated from the others, and prints.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import IO, Any

import structlog

from meepo2_cdc import signals
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.records import KeyPart, TableAction
from meepo2_cdc.records.row_change import RowChange
from meepo2_cdc.records.telling import as_json, as_text, json_fields, topic
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.signals.settings import Settings

log = structlog.get_logger()

Key = tuple[str, str, tuple[KeyPart, ...], bool]
"""The last says whether it is the row that is told of, which comes by another topic than its key."""


class SignalsSink:
    """
    A receiver that raises is called again with that record; those that returned are not.

    No later change of that key is told to anybody meanwhile, so each receiver hears a key's changes in their order.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._printer = _Printer(qualified=settings.qualified) if settings.print else None
        self._told = _Told()

    def open(self) -> None:
        for name in self._settings.modules:
            _import(name)
        if self._printer is None and not signals.connected():
            raise ConfigError(
                "no receiver is connected to any signal, and signals.print is false: the changes would go nowhere",
                fix="Name modules that connect receivers in signals.modules, or set signals.print = true.",
            )

    def apply(self, batch: Sequence[TableAction]) -> None:
        failed: dict[Key, TableAction] = {}
        whys: list[str] = []
        for record in batch:
            key = (record.schema, record.table, record.pk, isinstance(record, RowChange))
            if key not in failed and (why := self._tell(key, record)):
                failed[key] = record  # what follows of this key comes again behind it
                whys.append(why)
        if self._printer is not None:
            self._printer.flush()
        if failed:
            raise TryAgain("; ".join(dict.fromkeys(whys)), list(failed.values()))

    def close(self) -> None: ...

    def _tell(self, key: Key, record: TableAction) -> str:
        """Why it must be told again; "" when everybody returned."""
        done = self._told.by(key, record)
        whys = []
        if self._printer is not None and done.add_new("printed"):
            self._printer.add(record)
        for who, name, call in signals.calls(record):
            if who in done:
                continue
            if why := _call(name, call, record):
                whys.append(why)
            else:
                done.add(who)
        if not whys:
            self._told.forget(key)
        return "; ".join(whys)


def _import(name: str) -> None:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # an installed command has its own directory there
    try:
        importlib.import_module(name)
    except Exception as error:
        raise ConfigError(
            f"the module {name!r} of signals.modules cannot be imported: {type(error).__name__}: {error}",
            fix=f"Modules are looked for in the current directory, {here}, and where packages are installed.",
        ) from error


def _call(name: str, call: Callable[[], Any], record: TableAction) -> str:
    try:
        call()
    except Exception as error:  # whatever a receiver raises concerns only itself
        log.warning("A receiver failed", receiver=name, table=record.qualified_table, exc_info=True)
        return f"{name}: {type(error).__name__}: {error}"
    return ""


class _Done(set[Hashable]):
    def add_new(self, one: Hashable) -> bool:
        """Whether it was not in there yet."""
        new = one not in self
        self.add(one)
        return new


class _Told:
    """
    Who heard of a record already that comes again, because somebody else has failed.

    Of keys that became dead letters nobody tells, so only the newest are kept; were one missing, its receivers would
    be called once more.
    """

    _MOST = 10_000

    def __init__(self) -> None:
        self._by_key: OrderedDict[Key, tuple[TableAction, _Done]] = OrderedDict()
        self._lock = threading.Lock()

    def by(self, key: Key, record: TableAction) -> _Done:
        with self._lock:
            known = self._by_key.get(key)
            if known is None or known[0] is not record:
                known = self._by_key[key] = record, _Done()
                if len(self._by_key) > self._MOST:
                    self._by_key.popitem(last=False)
            return known[1]

    def forget(self, key: Key) -> None:
        with self._lock:
            self._by_key.pop(key, None)


class _Printer:
    """Whole lines on stdout, from several threads."""

    def __init__(self, *, qualified: bool) -> None:
        self._qualified = qualified
        self._lock = threading.Lock()
        self._lines: list[str] = []

    def add(self, record: TableAction) -> None:
        line = as_text(record, qualified=self._qualified)
        if isinstance(record, RowChange):
            line = f"{topic(record, qualified=self._qualified)}_raw {as_json(json_fields(record))}"
        with self._lock:
            self._lines.append(line if line.isprintable() else _on_one_line(line))

    def flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            try:
                _write(sys.stdout, "".join(f"{line}\n" for line in lines))
            except OSError as error:
                raise Error(
                    f"stdout takes no more lines: {error.strerror}",
                    fix="Nothing was skipped: the changes are told again at the next start.",
                ) from error


def _on_one_line(line: str) -> str:
    """A key that would move the cursor or end the line, quoted as JSON has it."""
    topic, _, key = line.partition(" ")
    return f"{topic} {json.dumps(key)}"


def _write(stream: IO[str], text: str) -> None:
    """To the descriptor itself where there is one: what stayed in a buffer would be complained of once more at exit."""
    try:
        number = stream.fileno()
    except OSError:  # a stream that somebody put in place of stdout
        stream.write(text)
        return
    rest = memoryview(text.encode("utf-8", "backslashreplace"))
    while rest:
        rest = rest[os.write(number, rest) :]
