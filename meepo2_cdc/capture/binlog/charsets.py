"""
Bytes in the server's character sets as text, exactly as the server converts them.

Python's codecs are used where they say the same; the server is asked for the rest.  Bytes that stand for no character
are refused: the server shows each of them as the same question mark, and two keys would become one.  An integration
test holds every character of every character set against the server.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from meepo2_cdc.capture.binlog.keyparts import TextDecoder
from meepo2_cdc.errors import UnreadableData

Ask = Callable[..., list[dict[str, Any]]]

_UNICODE = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "ucs2": "utf-16-be",
    "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
}  # fmt: skip
_MULTI_BYTE = {
    "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030", "big5": "big5", "euckr": "cp949", "ujis": "euc_jp",
    "sjis": "shift_jis", "cp932": "cp932",
}  # fmt: skip
_DOUBTFUL = {
    # characters that Python and the servers spell with different bytes
    "big5": frozenset("\u2574\uffe3\u02cd\uff0f\uff3c\u5341\u5345"),
    "gb18030": frozenset("\u1e3f\ue7c7"),
    "sjis": frozenset("\uff3c"),
    "ujis": frozenset("\uff3c"),
}
_NO_CHARACTER = "\ufffe"  # codecs.charmap_decode takes it for "undefined"
_KEPT_ANSWERS = 65536


class Charsets:
    """`ask` runs a query on the server and gives its rows by column name."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._decoders: dict[str, TextDecoder] = {}

    def decoder(self, charset: str) -> TextDecoder:
        """Its results raise UnreadableData for bytes that are no text in the character set."""
        found = self._decoders.get(charset)
        if found is None:
            found = self._decoders[charset] = _refusing(charset, self._decoder(charset))
        return found

    def _decoder(self, charset: str) -> TextDecoder:
        if charset in _UNICODE:
            codec = codecs.lookup(_UNICODE[charset])
            return lambda raw: codec.decode(raw)[0]
        if self._bytes_at_most(charset) == 1:
            table = self._byte_table(charset)
            return lambda raw: codecs.charmap_decode(raw, "strict", table)[0]
        return self._multi_byte(charset)

    def _bytes_at_most(self, charset: str) -> int:
        rows = self._ask(
            "SELECT MAXLEN AS n FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME = %s", charset
        )
        if not rows or not re.fullmatch(r"[a-z0-9]+", charset):
            raise UnreadableData(f"the server does not list the character set {charset!r}")
        return int(rows[0]["n"])

    def _byte_table(self, charset: str) -> str:
        characters = self._converted(charset, bytes(range(256))) or ""
        if len(characters) != 256:
            raise UnreadableData(f"the server does not convert {charset} byte by byte")
        return "".join(
            _NO_CHARACTER if character in "?\ufffd" and byte != ord("?") else character
            for byte, character in enumerate(characters)
        )

    def _multi_byte(self, charset: str) -> TextDecoder:
        ask = lru_cache(maxsize=_KEPT_ANSWERS)(lambda raw: self._whole(charset, raw))
        name, doubtful = _MULTI_BYTE.get(charset), _DOUBTFUL.get(charset, frozenset())
        if name is None:
            return ask
        codec = codecs.lookup(name)

        def decode(raw: bytes) -> str:
            try:
                text = codec.decode(raw)[0]
            except UnicodeDecodeError:
                return ask(raw)
            return text if doubtful.isdisjoint(text) else ask(raw)

        return decode

    def _whole(self, charset: str, raw: bytes) -> str:
        text = self._converted(charset, raw)
        # in none of these character sets a question mark is a part of another character
        if text is None or "\ufffd" in text or text.count("?") != raw.count(b"?"):
            raise UnicodeDecodeError(charset, raw, 0, len(raw), "the server has no character for it")
        return text

    def _converted(self, charset: str, raw: bytes) -> str | None:
        query = f"SELECT CONVERT(CONVERT(X'{raw.hex()}' USING {charset}) USING utf8mb4) AS text"
        text = self._ask(query)[0]["text"]
        return None if text is None else str(text)


def _refusing(charset: str, decode: TextDecoder) -> TextDecoder:
    def decoded(raw: bytes) -> str:
        try:
            return decode(raw)
        except UnicodeDecodeError:  # which quotes the bytes
            raise UnreadableData(f"a key holds bytes that stand for no character of {charset}") from None

    return decoded
