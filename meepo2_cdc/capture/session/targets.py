"""
What a publisher is installed on, and which tables it publishes: as people give them, and as SQLAlchemy takes them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable, UnboundExecutionError
from sqlalchemy.orm import Mapper, Session, scoped_session, sessionmaker

from meepo2_cdc.errors import ConfigError


def event_target(session: Any) -> Any:
    """What SQLAlchemy's session events can be heard of; the synchronous session of an asynchronous one."""
    target = _of_async(session)
    if target is not None:
        return target
    if isinstance(session, scoped_session):
        return event_target(session.session_factory)
    if isinstance(session, Session | sessionmaker) or (isinstance(session, type) and issubclass(session, Session)):
        return session
    raise ConfigError(
        f"sqlalchemy_pub was given {session!r}, which is no session",
        fix="Give it a Session, sessionmaker, scoped_session, AsyncSession or async_sessionmaker, or a class of them.",
    )


def _of_async(session: Any) -> Any:
    if "sqlalchemy.ext.asyncio" not in sys.modules:  # it cannot be imported without greenlet, nor be in use then
        return None
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

    if isinstance(session, AsyncSession):
        return session.sync_session
    if isinstance(session, async_scoped_session):
        return _of_async(session.session_factory)
    if isinstance(session, async_sessionmaker):
        configured = session.kw.get("sync_session_class")
        made = _own_class(configured or session.class_.sync_session_class)
        session.configure(sync_session_class=made)
        return made
    if isinstance(session, type) and issubclass(session, AsyncSession):
        if session is not AsyncSession:
            session.sync_session_class = _own_class(session.sync_session_class)
        return session.sync_session_class
    return None


def _own_class(of: type[Session]) -> type[Session]:
    """Listening to Session itself would be listening to every session of the program."""
    return type("PublishingSession", (of,), {}) if of is Session else of


def engine_of(session: Any) -> Engine | None:
    """The engine to ask about transactions from another thread; None where it cannot be told, or is asynchronous."""
    bind: Any = None
    if isinstance(session, scoped_session):
        session = session.session_factory
    if isinstance(session, sessionmaker):
        bind = session.kw.get("bind")
    elif isinstance(session, Session):
        try:
            bind = session.get_bind()
        except UnboundExecutionError:
            return None
    bind = getattr(bind, "engine", bind)
    if not isinstance(bind, Engine) or bind.dialect.is_async or bind.url.database in (None, "", ":memory:"):
        return None
    return bind


def table_names(tables: Any) -> frozenset[str]:
    """Names, tables and mapped classes as full names; of a class, all tables that hold its objects."""
    if isinstance(tables, str | bytes) or not isinstance(tables, Iterable):
        raise ConfigError(
            f"tables is {tables!r}; expected a list, set or tuple of names, tables or mapped classes",
            fix=f"For one table write tables=[{tables!r}].",
        )
    return frozenset(name for one in tables for name in _names(one))


def _names(one: Any) -> list[str]:
    if isinstance(one, str):
        return [one]
    if isinstance(one, Table):
        return [one.fullname]
    try:
        mapper = inspect(one)
    except NoInspectionAvailable:
        mapper = None
    if not isinstance(mapper, Mapper):
        raise ConfigError(f"tables holds {one!r}, which is neither a name, a table nor a mapped class")
    return [table.fullname for table in mapper.tables if isinstance(table, Table)]
