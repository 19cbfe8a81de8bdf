"""
Whatever bytes a topic holds and whatever a settings file says: one of our errors, or a value; never a crash.

A consumer that dies of one record dies of it again at each start, and a traceback tells nobody which setting is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meepo2_cdc.config import LAYOUT, Settings, load
from meepo2_cdc.errors import ConfigError, UnreadableData
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.records.checkpoint import decode_checkpoint
from meepo2_cdc.records.relay_checkpoint import decode_relay_checkpoint
from meepo2_cdc.records.row_avro import ChangeDecoder

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "table_action": ActionDecoder().action,
    "row_change": ChangeDecoder().action,
    "checkpoint": decode_checkpoint,
    "relay_checkpoint": decode_relay_checkpoint,
}


def golden(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((SCHEMAS / name / "golden").glob("*.bin"))]


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> bytes:
    """A record that is right, cut and with some bytes replaced; or anything."""
    raw = bytearray(draw(st.sampled_from(golden(name))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + 1] = draw(st.binary(max_size=4)) or b"\xff"
    return bytes(raw[: draw(st.integers(0, len(raw)))])


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_record_of_any_bytes_is_read_or_refused(name: str, data: st.DataObject):
    raw = data.draw(spoilt(name) | st.binary(max_size=200))
    with suppress(UnreadableData):
        DECODERS[name](raw)


NAMES = [f"MEEPO2_{section}_{name}".upper() for section, names in LAYOUT.sections.items() for name in names]
VALUES = st.text(max_size=30).filter(lambda text: "\0" not in text) | st.sampled_from([
    "", " ", "0", "-1", "1e309", "nan", "inf", "999999999999999999999", "true", "[]", "{}", "null", "/", "/dev/null",
    "mysql://", "mysql://u@h:99999/", "mysql://u:%ZZ@h/", "*.*", "!", "a.b.c", "`;--", "\u202e", "${HOME}", "${",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
@example({"MEEPO2_SOURCE_DSN": "mysql://u:p@[::1/"})
def test_an_environment_of_any_values_is_settings_or_a_complaint(environment: dict[str, str]):
    _loaded(lambda: load(environment={"MEEPO2_PREFIX": "shop", **environment}))


WORDS = st.sampled_from([*LAYOUT.sections, "prefix", "tables", "kafka", "nothing"])
TOML = st.lists(
    st.builds("[{}]".format, WORDS)
    | st.builds("[[{}]]".format, WORDS)
    | st.builds(
        "{} = {}".format, WORDS, st.sampled_from(["1", '"x"', "true", "[]", "[1]", "{a = 1}", "1979-05-27", "nan"])
    )
    | st.text(max_size=20),
    max_size=8,
).map("\n".join)


@settings(max_examples=400, deadline=None)
@given(TOML)
def test_a_file_of_any_text_is_settings_or_a_complaint(text: str):
    with TemporaryDirectory() as directory:
        file = Path(directory) / "meepo2.toml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        _loaded(lambda: load(config=file, environment={}))


def _loaded(call: Callable[[], Settings]) -> None:
    with suppress(ConfigError):
        assert call().source.address  # looked at only when it is needed
