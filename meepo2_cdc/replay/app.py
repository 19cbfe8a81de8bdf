"""
Consumer applications in a few lines: functions that are called with the keys of changed rows.

    app = meepo2_cdc.App(bootstrap_servers="localhost:9092", prefix="shop", group="search")

    @app.on("shop.user", "write", "update", workers=4, batch=True, max_batch=256)
    def refresh(pks): ...

    app.run()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog

from meepo2_cdc.config import load
from meepo2_cdc.config_sources import Given
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.observe import traces
from meepo2_cdc.observe.foreground import in_foreground
from meepo2_cdc.records import Action, KeyPart, TableAction
from meepo2_cdc.replay.build import Counting, dead_letters, decoder, group_feed, require_wanted, runner, set_aside_in
from meepo2_cdc.replay.feeds import ListFeed
from meepo2_cdc.replay.lanes import Route
from meepo2_cdc.replay.runner import Runner
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

Function = TypeVar("Function", bound=Callable[[Any], Any])
Pk = KeyPart | tuple[KeyPart, ...]


class App:
    """
    Calls functions for the records of a prefix, as a member of the consumer group `group`.

    What is not given here comes from `MEEPO2_*` variables and the file `config`, as for the commands.  Raises
    ConfigError for what is unknown or lacks.
    """

    def __init__(
        self,
        bootstrap_servers: str | None = None,
        prefix: str | None = None,
        group: str | None = None,
        *,
        schema_registry_url: str | None = None,
        config: Path | str | None = None,
    ) -> None:
        given = {
            ("kafka", "bootstrap.servers"): bootstrap_servers,
            ("prefix",): prefix,
            ("run", "group"): group,
            ("schema_registry_url",): schema_registry_url,
        }
        flags = [Given(path, value, f"App({path[-1].replace('.', '_')}=)") for path, value in given.items() if value]
        self._settings = load(flags, Path(config) if config else None)
        if self._settings.run.group is None:
            raise ConfigError(
                "an App has no consumer group", fix="Give App(group=...), a name of its own, or set MEEPO2_RUN_GROUP."
            )
        self.group = self._settings.run.group
        self._routes: list[Route] = []
        self._running: Runner | None = None
        self._stopped = threading.Event()

    def on(
        self,
        tables: str | Iterable[str],
        *actions: Action | str,
        workers: int = 1,
        batch: bool = False,
        max_batch: int = 256,
        coalesce: bool | None = None,
        records: bool = False,
    ) -> Callable[[Function], Function]:
        """
        Registers the decorated function for `tables`, as schema.table patterns, and `actions`, all unless given.

        The function gets a key: the value itself where the primary key has one part, else a tuple; with `batch` a list
        of at most `max_batch` keys; with `records` TableAction in place of keys.  It is called by `workers` threads,
        each key always by the same, so never twice at a time.  With `coalesce` (as with `batch`, unless given) the
        newest of several waiting records of a key stands for all.

        What it returns says what is done.  None or True: all of it.  False: nothing, it comes again.  With `batch` also
        a list of booleans, one for each key.  An exception, or anything else, counts as False.  What fails comes again
        after growing delays, alone from the second time on, while other keys go on; after `run.tries` new tries it is
        a dead letter in `<prefix>.<group>.dead-letters`.
        """
        wanted = frozenset(Action(one) for one in actions) or frozenset(Action)
        passes = TableFilter(_patterns(tables), ghosts=True).passes

        def register(function: Function) -> Function:
            route = Route(
                getattr(function, "__name__", type(function).__name__),
                _Calling(function, batch=batch, records=records),
                lambda record: record.action in wanted and passes(record.schema, record.table),
                workers=workers,
                batch_records=max_batch if batch else 1,
                coalesce=batch if coalesce is None else coalesce,
            )
            self._routes.append(route)
            return function

        return register

    def run(self) -> None:
        """
        Reads and calls until SIGTERM, SIGINT or `stop`; then finishes what is in flight and commits its offsets.

        Signals are heard only where this is the main thread.
        """
        settings = self._settings
        aside = set_aside_in(settings, dead_letters(settings, self.group))
        feed = group_feed(settings, self.group)
        self._running = running = runner(settings, feed, self._checked_routes(), aside, decoder(settings))
        if self._stopped.is_set():  # while it was being made
            running.stop()
        try:
            self._run(running)
        finally:
            self._running = None
            self._stopped.clear()

    def _run(self, running: Runner) -> None:
        from meepo2_cdc.replay.watching import RunSubject

        traces.set_up(self.group)
        settings = self._settings
        if threading.current_thread() is threading.main_thread():
            in_foreground(running.run, running.stop, settings.run, lambda: RunSubject(settings, self.group, running))
        else:
            running.run()

    def stop(self) -> None:
        """Lets `run` return, or the next one if none is under way; may be called from another thread."""
        self._stopped.set()
        running = self._running
        if running is not None:
            running.stop()

    def replay_dead_letters(self) -> int:
        """Calls the functions for all dead letters once more; those that fail again are new ones, and are counted."""
        letters = dead_letters(self._settings, self.group)
        waiting = letters.waiting()
        routes = self._checked_routes()
        decode = decoder(self._settings)
        require_wanted(waiting, decode, lambda record: any(one.wants(record) for one in routes), f"App {self.group}")
        failed = Counting(letters)
        runner(self._settings, ListFeed([one.message for one in waiting]), routes, failed, decode).run()
        letters.settle(waiting)
        return failed.count

    def _checked_routes(self) -> list[Route]:
        if not self._routes:
            raise ConfigError("an App has no function to call", fix="Register one with @app.on('schema.table', ...).")
        return self._routes


def _patterns(tables: str | Iterable[str]) -> list[str]:
    patterns = [tables] if isinstance(tables, str) else list(tables)
    for one in patterns:
        if "." not in one:
            raise ConfigError(f"@app.on({one!r}) names no schema.table pattern, such as 'shop.user' or '*.user'")
    return patterns


class _Calling:
    """A sink that calls a function."""

    def __init__(self, function: Callable[[Any], Any], *, batch: bool, records: bool) -> None:
        self._function = function
        self._batch = batch
        self._argument: Callable[[TableAction], Any] = (lambda record: record) if records else _pk

    def open(self) -> None: ...

    def close(self) -> None: ...

    def apply(self, batch: Sequence[TableAction]) -> None:
        if self._batch:
            self._call(batch, [self._argument(record) for record in batch])
        else:
            for record in batch:  # one, as the route says
                self._call([record], self._argument(record))

    def _call(self, records: Sequence[TableAction], argument: Any) -> None:
        try:
            result = self._function(argument)
        except Exception as error:
            log.warning("A function failed", function=self._function.__name__, exc_info=True)
            raise TryAgain(f"{type(error).__name__}: {error}", records) from error
        if result is None or result is True:
            return
        each = [result] * len(records) if isinstance(result, bool) else result
        if not (isinstance(each, Sequence) and len(each) == len(records) and all(isinstance(x, bool) for x in each)):
            raise TryAgain(_unexpected(result, len(records)), records)
        failed = [record for record, done in zip(records, each, strict=True) if not done]
        if failed:
            raise TryAgain("the function returned False", failed)


def _pk(record: TableAction) -> Pk:
    return record.pk[0] if len(record.pk) == 1 else record.pk


def _unexpected(result: Any, expected: int) -> str:
    found = f"a list of {len(result)}" if isinstance(result, list | tuple) else repr(result)[:80]
    return f"the function returned {found}; expected None, True, False, or a list of {expected} booleans"
