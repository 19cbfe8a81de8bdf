"""
Asynchronous sessions: their synchronous session is the one that is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import sessionmaker

from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import Zero


@asynccontextmanager
async def engine_of(database: Database) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(database.url.set(drivername="sqlite+aiosqlite"))
    yield made
    await made.dispose()


@pytest.mark.parametrize("kind", ["session", "sessionmaker", "scoped", "class"])
def test_every_kind_of_asynchronous_session_can_be_published(kind: str, sqlite: Database, publish: Publish):
    """SQLAlchemy's events know synchronous sessions only."""

    class Own(AsyncSession):
        pass

    async def work() -> None:
        async with engine_of(sqlite) as engine:
            maker = async_sessionmaker(engine)
            target: Any = {
                "session": maker(),
                "sessionmaker": maker,
                "scoped": async_scoped_session(maker, asyncio.current_task),
                "class": Own,
            }[kind]
            publish(target)
            session = target if kind in ("session", "scoped") else Own(engine) if kind == "class" else maker()
            session.add(Zero(id=1))
            await session.commit()
            await session.execute(update(Zero).values(data="x"))
            await session.commit()
            await session.close()

    asyncio.run(work())
    assert sqlite.told() == [("write", "zero", 1), ("update", "zero", 1)]


def test_other_sessions_are_left_alone(sqlite: Database, publish: Publish):
    """An async_sessionmaker makes sessions of the one class that all have."""

    async def work() -> None:
        async with engine_of(sqlite) as engine:
            publish(async_sessionmaker(engine))
            async with async_sessionmaker(engine)() as session:
                session.add(Zero(id=1))
                await session.commit()
        with sessionmaker(sqlite.engine)() as plain:
            plain.add(Zero(id=2))
            plain.commit()

    asyncio.run(work())
    assert sqlite.told() == []
