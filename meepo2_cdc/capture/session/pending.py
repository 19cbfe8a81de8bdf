"""
What a transaction of a session changed so far, by savepoint.

A savepoint that is released hands its changes to what encloses it; one that is rolled back takes them with it.  A
SessionTransaction counts as committed only when SQLAlchemy said so: a session that is closed says nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from sqlalchemy.orm import Session, SessionTransaction

from meepo2_cdc.capture.session.changes import Change


class Pending:
    """The changes of one outermost transaction; `committing` from the beginning of its commit on."""

    def __init__(self, *, committing: bool = False) -> None:
        self.id = uuid.uuid4().hex
        self.committing = committing
        self._frames: dict[SessionTransaction, list[Change]] = {}

    def __iter__(self) -> Iterator[Change]:
        for changes in self._frames.values():
            yield from changes

    def __bool__(self) -> bool:
        return any(self._frames.values())

    def add(self, session: Session, changes: Iterable[Change]) -> None:
        current = innermost(session)
        if current is None:
            raise RuntimeError("a session changed rows outside of a transaction")
        self._frames.setdefault(current, []).extend(changes)

    def release(self, savepoint: SessionTransaction) -> None:
        """The savepoint's changes belong to what encloses it now."""
        changes = self._frames.pop(savepoint, None)
        if changes:
            self._frames.setdefault(_enclosing(savepoint), []).extend(changes)

    def drop(self, transaction: SessionTransaction) -> list[Change]:
        """What is rolled back with it."""
        return self._frames.pop(transaction, [])


def innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()


def _enclosing(savepoint: SessionTransaction) -> SessionTransaction:
    """The savepoint or transaction around it; between them lie the ones that a flush makes for itself."""
    found = savepoint
    while (outer := found.parent) is not None:
        found = outer
        if found.nested:
            break
    return found
