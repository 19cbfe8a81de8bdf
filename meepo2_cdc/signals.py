"""
Signals in this process, one for each kind of change of a table: `user_write`, or `shop.user_write` with the schema.

    from meepo2_cdc.signals import signal

    @signal("user_write").connect
    def refresh(pk): ...

A receiver is called with the key, a value or, where the primary key has several parts, a tuple; and with the record
where it has a parameter `record`.  Those of `user_write_raw` get the row in place of the key, as `values_of` says.
The signals are blinker's, in a namespace of our own.  `meepo2-cdc run signals` sends them; nothing here knows where the
records come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.records.row_change import RowChange
from meepo2_cdc.records.telling import event_name, plain_key

if TYPE_CHECKING:
    from blinker import NamedSignal

_signals: dict[str, NamedSignal] = {}
_wants_record: dict[tuple[str, Hashable], bool] = {}
"""By signal and receiver, found out when they are connected: asking at each call takes longer than the call."""


def signal(name: str) -> NamedSignal:
    """
    The signal of that name, always the same.

    Its `connect` differs from blinker's in three things.  It holds receivers unless told `weak=True`: one that was
    defined inside of a function would otherwise be gone without a word.  It refuses `async` functions, which nobody
    would await.  And it refuses the sender 0, which blinker takes for any sender; `sender=` limits a receiver to one
    key that is a number or a text.
    """
    found = _signals.get(name)
    return found if found is not None else _signals.setdefault(name, _kind()(name))


def connected() -> bool:
    """Whether there is any receiver."""
    return any(one.receivers for one in list(_signals.values()))


def calls(record: TableAction) -> Iterator[tuple[Hashable, str, Callable[[], Any]]]:
    """
    The calls that tell all receivers of the record, those of `user_write` and those of `shop.user_write`.

    Each with what tells it apart from the others, and with the receiver's name for people.
    """
    pk = plain_key(record.pk)
    told, suffix = (values_of(record), "_raw") if isinstance(record, RowChange) else (pk, "")
    for name in (event_name(record) + suffix, event_name(record, qualified=True) + suffix):
        found = _signals.get(name)
        if found is None or found.is_muted:
            continue
        for receiver in found.receivers_for(pk):
            who = _identity(receiver)
            call = partial(receiver, told, record=record) if _wants_record[name, who] else partial(receiver, told)
            yield (name, who), getattr(receiver, "__qualname__", repr(receiver)), call


def values_of(change: RowChange) -> dict[str, Any]:
    """
    As meepo2 told of rows: {"values": ...} for a write and a delete, {"before_values": ..., "after_values": ...} for an
    update.  Where the capture left the values out they are None, and "left_out" says why.
    """
    found: dict[str, Any] = {} if change.left_out is None else {"left_out": change.left_out}
    if change.action is Action.UPDATE:
        return found | {"before_values": change.before, "after_values": change.after}
    if change.action is Action.TRUNCATE:
        return found
    return found | {"values": change.after if change.action is Action.WRITE else change.before}


def _identity(receiver: Callable[..., Any]) -> Hashable:
    """A bound method is another object each time that one looks."""
    if inspect.ismethod(receiver):
        return id(receiver.__func__), id(receiver.__self__)
    return id(receiver)


def _takes_record(receiver: Callable[..., Any]) -> bool:
    """By its signature: `record`, or any keyword."""
    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # written in C, some of them tell nothing
        return False
    return any(
        one.kind is one.VAR_KEYWORD or (one.name == "record" and one.kind is not one.POSITIONAL_ONLY)
        for one in parameters
    )


@cache
def _kind() -> type[NamedSignal]:
    """Made at the first signal: who uses none needs no blinker."""
    try:
        from blinker import ANY, NamedSignal
    except ModuleNotFoundError as error:
        hint = "signals need the package blinker: pip install 'meepo2-cdc[signals]'"
        raise ModuleNotFoundError(hint, name="blinker") from error

    class TableSignal(NamedSignal):
        def connect(self, receiver: Any, sender: Any = ANY, weak: bool = False) -> Any:
            if inspect.iscoroutinefunction(receiver):
                raise TypeError(f"{receiver!r} is async; a receiver is called from a thread, and nobody would await it")
            if sender is not ANY and isinstance(sender, int) and sender == 0:
                raise ValueError("blinker takes the sender 0 for any sender; connect without one and compare the key")
            _wants_record[self.name, _identity(receiver)] = _takes_record(receiver)
            return super().connect(receiver, sender, weak)

    return TableSignal
