"""
The connector `signals`: functions of one process, called with keys.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from meepo2_cdc import signals
from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.sink import Sink, TryAgain
from meepo2_cdc.signals import signal
from meepo2_cdc.testing import Changes, TellingContract
from meepo2_connectors.signals import connector as installed
from meepo2_connectors.signals.settings import Settings
from meepo2_connectors.signals.sink import SignalsSink
from tests.acceptance import tutorial
from tests.command import COMMAND, environment, until
from tests.connectors import telling
from tests.scenes import Scene


@pytest.fixture(autouse=True)
def _no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signals of this test only."""
    monkeypatch.setattr(signals, "_signals", {})


class Receivers:
    """Receivers of all actions of shop.user, which raise while they are stopped."""

    def __init__(self) -> None:
        self.heard: list[tuple[Action, Any]] = []
        self.stopped = False
        for action in Action:
            signal(f"user_{action.value}").connect(self._receiver(action))

    def _receiver(self, action: Action) -> Any:
        def receive(pk: Any) -> None:
            if self.stopped:
                raise ConnectionError("stopped")
            self.heard.append((action, pk if isinstance(pk, tuple) else (pk,)))

        return receive

    def sink(self) -> Sink:
        return SignalsSink(Settings())

    def told(self, count: int) -> list[tuple[Action, Any]]:
        assert len(self.heard) >= count
        return self.heard

    def stop(self) -> None:
        self.stopped = True

    def start(self) -> None:
        self.stopped = False


class TestContract(TellingContract):
    @pytest.fixture
    def target(self) -> Receivers:
        return Receivers()


def opened(**settings: Any) -> SignalsSink:
    sink = SignalsSink(Settings(**settings))
    sink.open()
    return sink


def test_a_receiver_gets_the_key_and_if_it_wants_the_record() -> None:
    """Receivers of the predecessor have one parameter; whoever needs the schema or the time has a second one."""
    got: list[Any] = []
    signal("user_write").connect(lambda pk: got.append(pk))
    signal("user_write").connect(lambda pk, record: got.append((pk, record.seq)))
    signal("user_write").connect(lambda pk, **more: got.append((pk, sorted(more))))
    record = Changes().write(1, "x")
    opened().apply([record])
    assert sorted(got, key=str) == sorted([(1, "x"), ((1, "x"), record.seq), ((1, "x"), ["record"])], key=str)


def test_a_name_with_the_schema_hears_that_schema_only() -> None:
    """S8.  Two schemas may have tables of one name."""
    got: list[Any] = []
    signal("shop.user_write").connect(lambda pk: got.append(("shop", pk)))
    signal("user_write").connect(lambda pk: got.append(("any", pk)))
    opened().apply([Changes("shop").write(1), Changes("other").write(77)])
    assert got.count(("shop", 1)) == 1
    assert got.count(("shop", 77)) == 0
    assert sorted(key for which, key in got if which == "any") == [1, 77]


def test_a_table_whose_name_begins_like_another_is_another() -> None:
    """S62.  order_write_log is not order."""
    got: list[Any] = []
    signal("order_write").connect(lambda pk: got.append(pk))
    opened().apply([Changes().write(1, table="order_write_log"), Changes().write(2, table="order")])
    assert got == [2]


def test_a_receiver_that_raises_stops_neither_other_receivers_nor_other_keys() -> None:
    """S21, D12.  The predecessor ended, and what followed was lost."""
    calm: list[Any] = []
    nervous: list[Any] = []

    @signal("user_write").connect
    def raises(pk: Any) -> None:
        nervous.append(pk)
        if pk == 2 and nervous.count(2) < 3:
            raise RuntimeError("not yet")

    signal("user_write").connect(lambda pk: calm.append(pk))
    changes = Changes()
    aside = telling.replayed(SignalsSink(Settings()), [changes.write(pk) for pk in (1, 2, 3)])
    assert sorted(calm) == [1, 2, 3], "a receiver that succeeded is not called again"
    assert sorted(nervous) == [1, 2, 2, 2, 3]
    assert aside.letters == []


def test_a_key_that_fails_for_ever_becomes_a_dead_letter_and_the_next_change_is_told() -> None:
    """D37.  What was given up must be found again, and must not hold up what follows."""
    heard: list[Any] = []

    @signal("user_write").connect
    def never(pk: Any) -> None:
        raise RuntimeError("for ever")

    signal("user_update").connect(lambda pk: heard.append(pk))
    changes = Changes()
    aside = telling.replayed(SignalsSink(Settings()), [changes.write(1), changes.update(1)])
    assert [tries for _, _, tries in aside.letters] == [4]
    assert "never: RuntimeError: for ever" in aside.letters[0][1]
    assert heard == [1]


def test_what_follows_of_a_key_waits_for_its_first_change() -> None:
    """A receiver that hears of an update before the write that it was to hear first sees another history."""
    order: list[str] = []

    @signal("user_write").connect
    def second_time(pk: Any) -> None:
        order.append("write")
        if len(order) == 1:
            raise RuntimeError("once")

    signal("user_update").connect(lambda pk: order.append("update"))
    changes = Changes()
    sink = opened()
    batch = [changes.write(1), changes.update(1)]
    with pytest.raises(TryAgain) as caught:
        sink.apply(batch)
    assert list(caught.value.records) == batch[:1]
    sink.apply(batch)
    assert order == ["write", "write", "update"]


def test_a_local_function_stays_connected() -> None:
    """With blinker's default it is gone as soon as the function that made it returns, without a word."""
    got: list[Any] = []

    def connect() -> None:
        def local(pk: Any) -> None:
            got.append(pk)

        signal("user_write").connect(local)

    connect()
    gc.collect()
    opened().apply([Changes().write(1)])
    assert got == [1]


def test_a_weak_receiver_goes_with_its_owner() -> None:
    """Who asks for weak references gets them; other receivers must not suffer."""
    got: list[Any] = []

    class Owner:
        def receive(self, pk: Any) -> None:
            got.append(pk)

    owner = Owner()
    signal("user_write").connect(owner.receive, weak=True)
    signal("user_write").connect(lambda pk: got.append("other"))
    sink = opened()
    sink.apply([Changes().write(1)])
    assert sorted(map(str, got)) == ["1", "other"]
    del owner
    gc.collect()
    sink.apply([Changes().write(2)])
    assert sorted(map(str, got)) == ["1", "other", "other"]


def test_receivers_that_would_never_be_called_are_refused() -> None:
    """A coroutine that nobody awaits, and a sender that blinker takes for everybody, fail in silence otherwise."""

    async def later(pk: Any) -> None: ...

    with pytest.raises(TypeError, match="async"):
        signal("user_write").connect(later)
    with pytest.raises(ValueError, match="sender 0"):
        signal("user_write").connect(print, sender=0)


def test_nobody_to_tell_is_an_error_of_configuration() -> None:
    """A connector that reads everything and calls nobody looks healthy."""
    with pytest.raises(ConfigError, match="no receiver is connected"):
        opened()
    signal("user_write").connect(print)
    opened()


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receivers would be missing, and their changes lost to them."""
    monkeypatch.chdir(tmp_path)
    Path("broken_receivers.py").write_text("raise ValueError('of the module itself')\n")
    with pytest.raises(ConfigError, match=r"'broken_receivers'.*ValueError: of the module itself"):
        opened(modules="broken_receivers")
    with pytest.raises(ConfigError, match="'no_such_module'"):
        opened(modules=("no_such_module",))


def test_printed_lines_have_the_true_names_and_stay_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """S86, D1.  The predecessor printed the name of its last event for all; a key with a line feed makes two lines."""
    changes = Changes()
    sink = opened(print=True)
    sink.apply([changes.write(1), changes.update(1, "x y"), changes.delete("a\nb"), changes.write(b"\x00")])
    opened(print=True, qualified=True).apply([changes.write(0, table="seat plan")])
    assert capfd.readouterr().out.splitlines() == [
        "user_write 1",
        "user_update (1, 'x y')",
        'user_delete "a\\nb"',
        "user_write b'\\x00'",
        "shop.seat%20plan_write 0",
    ]


def test_a_line_is_printed_once_however_often_a_receiver_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """Printing counts as a receiver that has succeeded."""
    tries: list[Any] = []

    @signal("user_write").connect
    def third_time(pk: Any) -> None:
        tries.append(pk)
        if len(tries) < 3:
            raise RuntimeError("not yet")

    assert telling.replayed(SignalsSink(Settings(print=True)), [Changes().write(1)]).letters == []
    assert len(tries) == 3
    assert [line for line in capfd.readouterr().out.splitlines() if line.startswith("user_")] == ["user_write 1"]


def test_the_example_is_accepted() -> None:
    """What people copy first must work."""
    _, own = load_with("signals", Settings, config=telling.CONNECTORS / "signals" / "example.toml", environment={})
    assert own.modules
    assert not installed.coalesce


# -- the installed command


@pytest.fixture
def captured(scene: Scene) -> Scene:
    telling.capture_tutorial(scene)
    return scene


def lines(captured: Scene, directory: Path) -> list[str]:
    with telling.example(captured, "signals", directory) as running:
        until(lambda: running.printed.count("\n") >= len(tutorial.CHANGES), "a line for each change")
        ended = running.stop()
    assert ended.code == 0, ended.err
    return ended.out.splitlines()


def test_the_tutorial_is_printed(captured: Scene, tmp_path: Path) -> None:
    """S86, S89.  What `mprint` was."""
    assert sorted(lines(captured, tmp_path)) == sorted(f"test_{action} {pk[0]}" for action, pk in tutorial.CHANGES)


def test_the_receivers_of_the_readme_are_called(captured: Scene, tmp_path: Path) -> None:
    """The module lies in the current directory, where the command is started, as the README says."""
    (module,) = telling.shown("signals", "python")
    (tmp_path / "receivers.py").write_text(module.replace("user_", "test_"))
    with telling.example(captured, "signals", tmp_path, 1) as running:
        until(lambda: running.printed.count("\n") >= 4, "a line for each write")
        ended = running.stop()
    assert ended.code == 0, ended.err
    assert sorted(ended.out.splitlines()) == [f"refresh {n}" for n in (1, 2, 3, 4)]


def test_a_stdout_that_is_closed_ends_the_process_and_skips_nothing(captured: Scene, tmp_path: Path) -> None:
    """Lines that nobody takes are not told; to commit them would lose them."""
    settings = {**captured.settings, "MEEPO2_SIGNALS_PRINT": "true"}
    whole = [str(COMMAND), "run", "signals"]
    process = subprocess.Popen(
        whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(settings), text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(60) == 1
    assert "stdout takes no more lines" in said
    assert "Exception ignored" not in said
    assert len(lines(captured, tmp_path)) == len(tutorial.CHANGES)


def test_importing_signals_needs_no_blinker() -> None:
    """S91.  Only who makes a signal needs it, and is told how to get it."""
    program = "import sys; sys.modules['blinker'] = None\nfrom meepo2_cdc.signals import signal\nsignal('a_write')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'meepo2-cdc[signals]'" in ended.stderr


def test_records_of_one_key_do_not_fill_the_memory() -> None:
    """Of keys that became dead letters nobody tells the sink."""
    from meepo2_connectors.signals.sink import _Told

    told = _Told()
    records: list[TableAction] = [Changes(table=uuid.uuid4().hex).write(n) for n in range(_Told._MOST + 5)]
    for record in records:
        told.by((record.schema, record.table, record.pk, False), record)
    assert len(told._by_key) == _Told._MOST
