"""
Publishing what sessions change.

    pub = meepo2_cdc.sqlalchemy_pub(Session, tables=[User, "orders"])

Rows are noted at each flush and belong to the savepoint and transaction in which they were changed; they are delivered
by the outbox or directly.  Knows SQLAlchemy's session events; how a delivery works is its own affair (see Delivery).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from meepo2_cdc.capture.session import hooks, targets
from meepo2_cdc.capture.session.bulk import Bulk
from meepo2_cdc.capture.session.changes import Change, RowChange, Rows
from meepo2_cdc.capture.session.outbox import Outbox
from meepo2_cdc.capture.session.pending import Pending, innermost
from meepo2_cdc.capture.session.phases import Phases
from meepo2_cdc.config import SessionSettings, Settings, load
from meepo2_cdc.config_sources import Given
from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from blinker import Signal

log = structlog.get_logger()


class Delivery(Protocol):
    """
    How changes get to Kafka.

    `record` is called in a flush, and what it raises fails the flush; those behind `committing` when there is nothing
    left to fail, so they raise nothing.  Publishers with equal destinations deliver each row once.
    """

    @property
    def destination(self) -> Hashable: ...

    def record(self, session: Session, pending: Pending, connection: Connection, changes: Sequence[Change]) -> None:
        """Further changes, which are in `pending` already, made on this connection in the transaction at hand."""

    def narrowed(self, pending: Pending) -> None:
        """A savepoint was rolled back; `pending` is what remains."""

    def committing(self, pending: Pending) -> None:
        """The outermost commit begins; what this raises ends it."""

    def committed(self, pending: Pending) -> None: ...

    def ended(self, pending: Pending) -> None:
        """Not committed: rolled back or closed; or, where `pending.committing`, nobody knows."""

    def close(self) -> None: ...


class Publisher:
    """
    Publishes the changes of the sessions it is installed on, until `remove`.

    `publisher({"comp"})` adds tables; without any, all are published.
    """

    def __init__(self, session: Any, tables: Any, delivery: Delivery, *, bulk: str, default_schema: str | None) -> None:
        self._target = targets.event_target(session)
        self.tables: frozenset[str] | None = None if tables is None else targets.table_names(tables)
        self._delivery = delivery
        self._rows = Rows(default_schema)
        self._bulk = Bulk(bulk, self._rows, self._wants, self._take, delivery.destination)
        self._phases = Phases()
        self._key = f"meepo2_cdc.pending.{id(self)}"
        self._committing = f"meepo2_cdc.committing.{id(self)}"
        self._hooks = (
            ("before_flush", self._before_flush),
            ("after_flush", self._after_flush),
            ("after_flush_postexec", self._after_flush_postexec),
            ("before_commit", self._before_commit),
            ("after_commit", self._after_commit),
            ("after_transaction_end", self._after_transaction_end),
            ("do_orm_execute", self._do_orm_execute),
            ("after_begin", self._after_begin),
        )
        for name, function in self._hooks:
            event.listen(self._target, name, function)
        hooks.listen_to_mappers()

    def __call__(self, tables: Iterable[Any]) -> Publisher:
        """Adds tables; a publisher of all tables then publishes these only."""
        self.tables = targets.table_names(tables) | (self.tables or frozenset())
        return self

    def signal(self, name: str) -> Signal:
        """session_prepare, session_commit or session_rollback, of this publisher's sessions."""
        return self._phases.signal(name)

    def remove(self) -> None:
        """Takes everything back.  A transaction that is under way is published only as far as it was delivered."""
        for name, function in self._hooks:
            event.remove(self._target, name, function)
        hooks.leave_mappers()
        self._bulk.close()
        self._delivery.close()

    def _wants(self, table: Table) -> bool:
        return self.tables is None or table.fullname in self.tables

    # -- flushes and statements

    def _before_flush(self, session: Session, context: Any, _: Any) -> None:
        hooks.open_flush(session, context)

    def _after_flush(self, session: Session, _: Any) -> None:
        flush = hooks.flush_of(session)
        if flush is None or not flush.written:
            return
        ours = self._delivery.destination

        def wanted(table: Table) -> bool:
            return self._wants(table) and flush.claim(ours, table, self)

        self._take(session, self._rows.changes(flush.written, wanted))

    def _after_flush_postexec(self, session: Session, _: Any) -> None:
        hooks.close_flush(session)

    def _do_orm_execute(self, state: ORMExecuteState) -> Any:
        return self._bulk.execute(state)

    def _after_begin(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        self._bulk.watch(session, connection)

    def _take(self, session: Session, found: Sequence[RowChange]) -> None:
        if not found:
            return
        pending = session.info.get(self._key)
        if pending is None:
            pending = session.info[self._key] = Pending(committing=self._committing in session.info)
        pending.add(session, [change for _, change in found])
        by_connection: dict[Connection, list[Change]] = {}
        for connection, change in found:
            by_connection.setdefault(connection, []).append(change)
        with hooks.inside(session):
            for connection, changes in by_connection.items():
                self._delivery.record(session, pending, connection, changes)
        self._phases.send("session_prepare", session, pending)

    # -- transactions

    def _before_commit(self, session: Session) -> None:
        if session.get_nested_transaction() is not None:
            return
        session.info[self._committing] = True  # the last flush, which may be the only one, is still to come
        pending = session.info.get(self._key)
        if pending is not None:
            pending.committing = True
            with hooks.inside(session):
                self._delivery.committing(pending)

    def _after_commit(self, session: Session) -> None:
        pending, current = session.info.get(self._key), innermost(session)
        if current is not None and not current.nested:
            session.info.pop(self._committing, None)
        if pending is None or current is None:
            return
        if current.nested:
            pending.release(current)
            return
        del session.info[self._key]
        try:
            self._delivery.committed(pending)
        except Exception:  # the transaction is committed: an error now would tell the application that it is not
            log.exception("A committed transaction could not be published", transaction=pending.id)
        self._phases.send("session_commit", session, pending)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            session.info.pop(self._committing, None)
        pending = session.info.get(self._key)
        if pending is None or not (transaction.nested or transaction.parent is None):
            return
        dropped = pending.drop(transaction)
        if transaction.parent is None:
            del session.info[self._key]
            try:
                self._delivery.ended(pending)
            except Exception:  # the same: the application is in the middle of a rollback
                log.exception("The end of a transaction could not be noted", transaction=pending.id)
            self._phases.send("session_rollback", session, dropped)
        elif dropped:
            self._delivery.narrowed(pending)


def sqlalchemy_pub(
    session: Any,
    tables: Any = None,
    *,
    prefix: str | None = None,
    bootstrap_servers: str | None = None,
    engine: Engine | None = None,
    config: Path | str | None = None,
    **settings: Any,
) -> Publisher:
    """
    Publishes what `session` changes: a Session, sessionmaker, scoped_session, AsyncSession or async_sessionmaker, or a
    class of sessions.

    `tables` are names, tables or mapped classes, all without.  `settings` are those of [session], and win over
    `MEEPO2_SESSION_*` and the file; `engine` is asked what became of transactions that a crash left in doubt, where it
    cannot be told from the session.  Raises ConfigError for what is unknown.
    """
    _refuse_unknown(settings)
    given: dict[tuple[str, ...], Any] = {
        ("prefix",): prefix,
        ("kafka", "bootstrap.servers"): bootstrap_servers,
        **{("session", name): value for name, value in settings.items()},
    }
    flags = [
        Given(path, value, f"sqlalchemy_pub({path[-1].replace('.', '_')}=)")
        for path, value in given.items()
        if value is not None
    ]
    found = load(flags, Path(config) if config else None)
    return Publisher(
        session,
        tables,
        _delivery(found, session, engine),
        bulk=found.session.bulk,
        default_schema=found.session.default_schema,
    )


def _refuse_unknown(settings: Iterable[str]) -> None:
    known = [*SessionSettings.model_fields, "tables", "prefix", "bootstrap_servers", "engine", "config"]
    for name in settings:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"sqlalchemy_pub has no setting {name!r}{hint}", fix="It takes those of [session].")


def _delivery(settings: Settings, session: Any, engine: Engine | None) -> Delivery:
    if settings.session.delivery == "outbox":
        return Outbox(settings.session.outbox_table)
    try:
        from meepo2_cdc.capture.session.direct import Direct
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"direct delivery needs the package {error.name}", fix="pip install 'meepo2-cdc[session]'"
        ) from error

    direct = Direct(settings, engine or targets.engine_of(session))
    direct.start()
    return direct
