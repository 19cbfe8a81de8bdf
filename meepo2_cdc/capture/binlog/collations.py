"""
Which character set a collation's number stands for, where there is no server to ask.

Both kinds of server give a number one meaning only.  Source: information_schema.COLLATIONS of MySQL 8.0 and 9 and of
MariaDB 10.11 and 11.4, which a test holds this against; MariaDB strings/ctype-uca1400.h and include/m_ctype.h.
"""

from __future__ import annotations

from itertools import chain

_NUMBERS: dict[str, tuple[range | tuple[int, ...], ...]] = {
    "armscii8": ((32, 64),),
    "ascii": ((11, 65),),
    "big5": ((1, 84),),
    "binary": ((63,),),
    "cp1250": ((26, 34, 44, 66, 99),),
    "cp1251": ((14, 23), range(50, 53)),
    "cp1256": ((57, 67),),
    "cp1257": ((29, 58, 59),),
    "cp850": ((4, 80),),
    "cp852": ((40, 81),),
    "cp866": ((36, 68),),
    "cp932": ((95, 96),),
    "dec8": ((3, 69),),
    "eucjpms": ((97, 98),),
    "euckr": ((19, 85),),
    "gb18030": (range(248, 251),),
    "gb2312": ((24, 86),),
    "gbk": ((28, 87),),
    "geostd8": ((92, 93),),
    "greek": ((25, 70),),
    "hebrew": ((16, 71),),
    "hp8": ((6, 72),),
    "keybcs2": ((37, 73),),
    "koi8r": ((7, 74),),
    "koi8u": ((22, 75),),
    "latin1": ((5, 8, 15, 31, 47, 48, 49, 94),),
    "latin2": ((2, 9, 21, 27, 77),),
    "latin5": ((30, 78),),
    "latin7": ((20, 41, 42, 79),),
    "macce": ((38, 43),),
    "macroman": ((39, 53),),
    "sjis": ((13, 88),),
    "swe7": ((10, 82),),
    "tis620": ((18, 89),),
    "ucs2": ((35, 90), range(128, 152), (159, 640, 641, 642)),
    "ujis": ((12, 91),),
    "utf16": ((54, 55), range(101, 125), (672, 673, 674)),
    "utf16le": ((56, 62),),
    "utf32": ((60, 61), range(160, 184), (736, 737, 738)),
    "utf8mb3": ((33, 76, 83), range(192, 216), (223, 576, 577, 578)),
    "utf8mb4": ((45, 46), range(224, 248), range(255, 324), (608, 609, 610)),
}
_BY_NUMBER = {number: charset for charset, numbers in _NUMBERS.items() for number in chain(*numbers)}
_NO_PAD = 1024  # MariaDB: the same collation, which counts spaces at the end
_UCA1400 = 2048  # MariaDB: above this, each character set has 256 numbers
_UCA1400_CHARSETS = ("utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32")


def charset_of(collation: int) -> str | None:
    """None for a number that is not known here; "binary" for bytes."""
    if collation >= _UCA1400:
        block = (collation - _UCA1400) // 256
        return _UCA1400_CHARSETS[block] if block < len(_UCA1400_CHARSETS) else None
    return _BY_NUMBER.get(collation - _NO_PAD if collation > _NO_PAD else collation)
