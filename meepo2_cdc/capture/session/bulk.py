"""
Statements that change rows without objects: session.execute(update(User)...), Query.delete(), insert(User), text.

Their keys are had in three ways: they are in the parameters; an INSERT returns them; an UPDATE's or DELETE's rows are
selected before it, locked, and counted against what it says it changed.  A statement whose keys cannot be had is
refused before it is executed, or named and counted, as the setting says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import structlog
from sqlalchemy import (
    Connection,
    Delete,
    Engine,
    Insert,
    MetaData,
    Table,
    TextClause,
    Update,
    event,
)
from sqlalchemy.orm import Mapper, ORMExecuteState, Session
from sqlalchemy.sql.dml import UpdateBase

from meepo2_cdc.capture.session import hooks
from meepo2_cdc.capture.session.changes import RowChange, Rows
from meepo2_cdc.capture.session.statements import CannotTell, Statement
from meepo2_cdc.errors import Error
from meepo2_cdc.observe import metrics

log = structlog.get_logger()
_TEXT = re.compile(
    r"\s*(?:insert\s+(?:\w+\s+)*?into|replace\s+(?:into\s+)?|update(?:\s+(?:or\s+\w+|only|ignore|low_priority))*|"
    r"delete\s+(?:\w+\s+)*?from|truncate(?:\s+table)?|merge\s+into)\s+([^\s(;]+)",
    re.IGNORECASE,
)
_QUOTES = str.maketrans("", "", '`"[]')
_CLAIMED = "meepo2_cdc_claimed"


class BulkNotCaptured(Error):
    """A statement changes rows of which nobody can tell the keys; it was not executed, or must be rolled back."""


class Bulk:
    """The statements of one publisher's sessions.  `take` is given the rows that a statement changed."""

    def __init__(
        self,
        policy: str,
        rows: Rows,
        wants: Callable[[Table], bool],
        take: Callable[[Session, Sequence[RowChange]], None],
        destination: Hashable,
    ) -> None:
        self._policy = policy
        self._rows = rows
        self._wants = wants
        self._take = take
        self._destination = destination
        self._sessions: WeakKeyDictionary[Connection, Session] = WeakKeyDictionary()
        self._engines: WeakSet[Engine] = WeakSet()

    def execute(self, state: ORMExecuteState) -> Any:
        """Executes a statement that concerns us, and returns its result; None leaves it to SQLAlchemy."""
        statement = state.statement
        if isinstance(statement, TextClause):
            if not self._text(str(statement)):
                return None
            with hooks.inside(state.session):
                return state.invoke_statement()
        if not isinstance(statement, Insert | Update | Delete):
            return None
        claimed = state.execution_options.get(_CLAIMED, frozenset())
        mapper = state.bind_mapper if state.is_orm_statement else None
        table = statement.table if mapper is None else mapper.local_table
        if not isinstance(table, Table):
            return None
        tables = [one for one in _written_tables(statement, table, mapper) if self._wants(one)]
        if not tables or (self._destination, table) in claimed:
            return None
        if self._policy == "refuse":
            raise self._refusal(table.fullname, "session.bulk is 'refuse'")
        options = {_CLAIMED: claimed | {(self._destination, table)}, "preserve_rowcount": True}
        return self._captured(state, Statement(state, statement, table, mapper, tables, self._rows, options))

    def _captured(self, state: ORMExecuteState, one: Statement) -> Any:
        try:
            one.prepare()
        except CannotTell as error:
            self._unknown(one.table.fullname, str(error))
            with hooks.inside(state.session):
                return state.invoke_statement(execution_options=one.options)
        with hooks.inside(state.session):
            result = one.invoke()
        try:
            found, result = one.found(result)
        except CannotTell as error:
            self._unknown(one.table.fullname, str(error), executed=True)
            return result
        change = self._rows.change
        self._take(
            state.session,
            [(one.connection, change(one.connection, action, table, pk)) for action, table, pk in found],
        )
        return result

    # -- what does not come through Session.execute

    def watch(self, session: Session, connection: Connection) -> None:
        """The session has this connection from now on."""
        self._sessions[connection] = session
        if connection.engine not in self._engines:
            self._engines.add(connection.engine)
            event.listen(connection.engine, "before_execute", self._before_execute)
            event.listen(connection, "before_execute", _nothing)  # it was made when its engine had no listeners

    def close(self) -> None:
        for engine in self._engines:
            event.remove(engine, "before_execute", self._before_execute)

    def _before_execute(self, connection: Connection, statement: Any, _: Any, __: Any, options: Any) -> None:
        session = self._sessions.get(connection)
        if session is not None and hooks.flush_of(session) is None and not hooks.is_inside(session):
            self._unseen(statement, options)

    def _unseen(self, statement: Any, options: Mapping[str, Any]) -> None:
        if isinstance(statement, UpdateBase) and isinstance(table := statement.table, Table):
            if self._wants(table) and (self._destination, table) not in options.get(_CLAIMED, ()):
                self._unknown(table.fullname, "it was not executed by Session.execute")
        elif isinstance(statement, TextClause):
            self._text(str(statement))

    def _text(self, statement: str) -> bool:
        """Whether it changes rows of a table that is published, which was told then."""
        found = _TEXT.match(statement)
        if found is None:
            return False
        schema, _, name = found[1].translate(_QUOTES).rpartition(".")
        table = Table(name, MetaData(), schema=schema or None)
        if not self._wants(table):
            return False
        self._unknown(table.fullname, "it is text")
        return True

    def _unknown(self, table: str, why: str, *, executed: bool = False) -> None:
        if self._policy != "warn":
            raise self._refusal(table, why, executed=executed)
        metrics.SESSION_STATEMENTS_UNSEEN.labels(table).inc()
        log.warning("A statement's rows were not published", table=table, why=why)

    @staticmethod
    def _refusal(table: str, why: str, *, executed: bool = False) -> BulkNotCaptured:
        was = "was executed, and the transaction must be rolled back" if executed else "was not executed"
        return BulkNotCaptured(
            f"a statement on {table} changes rows whose keys cannot be told: {why}; it {was}",
            fix="Change objects instead, give the keys with the rows, or set bulk='warn' where nobody needs to know.",
        )


def _nothing(*_: Any) -> None: ...


def _written_tables(statement: UpdateBase, table: Table, mapper: Mapper[Any] | None) -> list[Table]:
    """An INSERT of a mapped class goes to all its tables; so does an UPDATE by keys."""
    if mapper is None or isinstance(statement, Delete):
        return [table]
    return [one for one in mapper.tables if isinstance(one, Table)] or [table]
