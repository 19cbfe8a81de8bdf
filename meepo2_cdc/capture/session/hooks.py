"""
SQLAlchemy's events, switched on and off.

Mapper events are those of all mappers, so they are listened to once a process, while there is any publisher; what they
tell goes to the flush of the object's session, which only sessions with a publisher have.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, event, inspect
from sqlalchemy.orm import Mapper, Session, object_session

from meepo2_cdc.capture.session.changes import Flush, Kind, Written, touched_tables

_FLUSH = "meepo2_cdc.flush"
_INSIDE = "meepo2_cdc.inside"
_lock = threading.Lock()
_users = 0


def open_flush(session: Session, context: Any) -> None:
    """Begins to note what the flush writes; the first publisher of the session does."""
    known = session.info.get(_FLUSH)
    if known is None or known.context is not context:
        session.info[_FLUSH] = Flush(context)


def flush_of(session: Session) -> Flush | None:
    found: Flush | None = session.info.get(_FLUSH)
    return found


def close_flush(session: Session) -> None:
    session.info.pop(_FLUSH, None)


def is_inside(session: Session) -> bool:
    """Whether the session executes a statement that was looked at already."""
    return bool(session.info.get(_INSIDE))


@contextmanager
def inside(session: Session) -> Iterator[None]:
    """While a statement is executed that was looked at already."""
    session.info[_INSIDE] = session.info.get(_INSIDE, 0) + 1
    try:
        yield
    finally:
        session.info[_INSIDE] -= 1


def _note(kind: Kind) -> Callable[[Mapper[Any], Connection, Any], None]:
    def note(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        flush = _flush_of_object(target)
        if flush is not None:
            flush.written.append(Written(kind, mapper, connection, target))

    return note


def _before_update(mapper: Mapper[Any], _: Connection, target: Any) -> None:
    """What an SQL expression was assigned to is forgotten by the UPDATE, so it is asked for here."""
    flush = _flush_of_object(target)
    if flush is not None:
        flush.touched[id(target)] = touched_tables(mapper, inspect(target))


def _after_update(mapper: Mapper[Any], connection: Connection, target: Any) -> None:
    """Without an update before it, it took the place of a row that was to be deleted: SQLAlchemy's "row switch"."""
    flush = _flush_of_object(target)
    if flush is not None:
        touched = flush.touched.get(id(target))
        every = {table for table in mapper.tables if isinstance(table, Table)}
        flush.written.append(Written(Kind.UPDATED, mapper, connection, target, every if touched is None else touched))


def _flush_of_object(target: Any) -> Flush | None:
    session = object_session(target)
    return flush_of(session) if session is not None else None


_MAPPER_EVENTS: tuple[tuple[str, Callable[[Mapper[Any], Connection, Any], None]], ...] = (
    ("after_insert", _note(Kind.INSERTED)),
    ("before_update", _before_update),
    ("after_update", _after_update),
    ("after_delete", _note(Kind.DELETED)),
)


def listen_to_mappers() -> None:
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for name, function in _MAPPER_EVENTS:
                event.listen(Mapper, name, function)


def leave_mappers() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            for name, function in _MAPPER_EVENTS:
                event.remove(Mapper, name, function)
