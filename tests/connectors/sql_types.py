"""
A table with a column of every type, and what is to be found of it in a target, in one canonical form:

    number    a float or an int; decimal  all of its digits as text
    moment    text with a space, the zeros at a fraction's end left out; instants in UTC
    duration  microseconds;   bytes  hexadecimal;   json  the value;   text  text

Both sides are asked in SQL, so that no code of the program stands between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Typed:
    """A column: its type, its kind of canonical form, and values as SQL literals."""

    declared: str
    kind: str
    values: tuple[str, ...]


_INT = {"TINYINT": 7, "SMALLINT": 15, "MEDIUMINT": 23, "INT": 31, "BIGINT": 63}
TYPES: dict[str, Typed] = {
    **{
        f"{name.lower()}_s": Typed(name, "number", (f"{-(2**bits)}", "0", f"{2**bits - 1}"))
        for name, bits in _INT.items()
    },
    **{
        f"{name.lower()}_u": Typed(f"{name} UNSIGNED", "number", ("0", "1", f"{2 ** (bits + 1) - 1}"))
        for name, bits in _INT.items()
    },
    "flag": Typed("BOOL", "number", ("0", "1", "-128")),
    "zerofill_": Typed("INT(8) ZEROFILL", "number", ("0", "42")),
    "decimal_large": Typed("DECIMAL(65,30)", "decimal", ("-12345678901234567890.123456789012345678", "0", "1e-30")),
    "decimal_plain": Typed("DECIMAL(10,2)", "decimal", ("-12.50", "0", "99999999.99")),
    "decimal_u": Typed("DECIMAL(5,0) UNSIGNED", "decimal", ("0", "99999")),
    "float_": Typed("FLOAT", "number", ("0.1", "-3.4e38", "1.17549e-38", "16777217")),
    "double_": Typed("DOUBLE", "number", ("0.1", "-1.7976931348623157e308", "2.2250738585072014e-308")),
    "bit1": Typed("BIT(1)", "bits", ("0", "1")),
    "bit9": Typed("BIT(9)", "bits", ("5", "511")),
    "bit64": Typed("BIT(64)", "bits", ("0", "18446744073709551615")),
    "year_": Typed("YEAR", "number", ("2026", "0", "1901")),
    "date_": Typed("DATE", "moment", ("'2026-01-02'", "'0001-01-01'", "'9999-12-31'", "'0000-00-00'", "'2026-00-00'")),
    "datetime0": Typed("DATETIME", "moment", ("'2026-01-02 03:04:05'", "'0000-00-00 00:00:00'")),
    "datetime6": Typed("DATETIME(6)", "moment", ("'9999-12-31 23:59:59.999999'", "'2026-01-02 03:04:05.120000'")),
    "timestamp0": Typed("TIMESTAMP NULL", "moment", ("'2026-03-29 02:30:00'", "'2038-01-19 03:14:07'")),
    "timestamp3": Typed("TIMESTAMP(3) NULL", "moment", ("'2026-01-02 03:04:05.120'", "'0000-00-00 00:00:00'")),
    "time0": Typed("TIME", "duration", ("'12:34:56'", "'-838:59:59'", "'838:59:59'")),
    "time6": Typed("TIME(6)", "duration", ("'-00:00:00.000001'", "'25:00:00.5'")),
    "char_": Typed("CHAR(10)", "text", ("'a  '", "''", "'größe☃😀'")),
    "varchar_": Typed("VARCHAR(200)", "text", ("'a  '", "'\\'\"\\\\`%s %(x)s :x ?\n\t'", "'{NULL,\"\"}'", "'NULL'")),
    "latin_": Typed("VARCHAR(20) CHARACTER SET latin1", "text", ("'größe'", "'€'")),
    "text_": Typed("TEXT", "text", ("REPEAT('é', 20000)", "''")),
    "longtext_": Typed("LONGTEXT", "text", ("REPEAT('x', 200000)",)),
    "enum_": Typed("ENUM('red','green','it''s')", "text", ("'red'", "'it''s'")),
    "set_": Typed("SET('a','b','c')", "text", ("'c,a'", "''")),
    "binary_": Typed("BINARY(4)", "bytes", ("'A'", "x'00ff00ff'")),
    "varbinary_": Typed("VARBINARY(20)", "bytes", ("''", "x'00ff5c27'")),
    "blob_": Typed("BLOB", "bytes", ("REPEAT(x'00', 1000)", "x'ff'")),
    "longblob_": Typed("LONGBLOB", "bytes", ("REPEAT(x'fe', 100000)",)),
    "json_": Typed("JSON", "json", ("'{\"a\": [1, 2.5, null, \"é😀\\\\\\\\n\"], \"b\": {}}'", "'null'", "'\"x\"'")),
    "point_": Typed("POINT", "bytes", ("ST_GeomFromText('POINT(1 2)')",)),
    "made": Typed("INT GENERATED ALWAYS AS (flag + 1) STORED", "number", ()),
}  # fmt: skip
MARIADB_TYPES: dict[str, Typed] = {
    "uuid_": Typed("UUID", "text", ("'123e4567-e89b-12d3-a456-426655440000'",)),
    "inet4_": Typed("INET4", "address", ("'192.0.2.1'",)),
    "inet6_": Typed("INET6", "address", ("'::ffff:192.0.2.1'", "'2001:db8::1'")),
}


def types_of(flavor: str) -> dict[str, Typed]:
    return TYPES | (MARIADB_TYPES if flavor == "mariadb" else {})


def statements(types: dict[str, Typed]) -> list[str]:
    """The table `everything`: one row of NULLs, then each value in turn."""
    columns = ", ".join(f"{name} {one.declared}" for name, one in types.items())
    made = [f"CREATE TABLE everything (id INT PRIMARY KEY, {columns}) CHARACTER SET utf8mb4"]
    writable = {name: one for name, one in types.items() if one.values}
    made.append("INSERT INTO everything (id) VALUES (0)")
    for n in range(max(len(one.values) for one in writable.values())):
        values = ", ".join(one.values[n % len(one.values)] for one in writable.values())
        made.append(f"INSERT INTO everything (id, {', '.join(writable)}) VALUES ({n + 1}, {values})")
    return made


_IN_SQL: dict[str, dict[str, str]] = {
    "mysql": {"number": "{} + 0", "decimal": "CAST({} AS CHAR)", "bits": "{} + 0", "moment": "CAST({} AS CHAR)",
              "duration": "CAST({} AS CHAR)", "bytes": "HEX({})", "json": "{}", "text": "{}", "address": "{}"},
    "postgres": {"number": "{}::float8", "decimal": "{}::text", "bits": "{}::text", "moment": "{}::text",
                 "duration": "(EXTRACT(EPOCH FROM {}) * 1000000)::bigint", "bytes": "encode({}, 'hex')",
                 "json": "{}::text", "text": "{}::text", "address": "host({})"},
    "sqlite": {"number": "{}", "decimal": "{}", "bits": "{}", "moment": "{}", "duration": "{}", "bytes": "hex({})",
               "json": "{}", "text": "{}", "address": "{}"},
}  # fmt: skip


def query(kind: str, types: dict[str, Typed], quote: Callable[[str], str]) -> str:
    forms = _IN_SQL["mysql" if kind == "mariadb" else kind]
    columns = [_form(kind, one, forms).format(quote(name)) for name, one in types.items()]
    return f"SELECT id, {', '.join(columns)} FROM everything ORDER BY id"


def _form(kind: str, one: Typed, forms: dict[str, str]) -> str:
    if kind == "postgres" and one.kind == "number" and re.search(r"INT\b", one.declared):
        return "{}::text"  # all digits of a BIGINT UNSIGNED
    if kind == "sqlite" and one.kind == "bytes":
        return "CASE WHEN {0} IS NOT NULL THEN hex({0}) END"  # hex(NULL) is ''
    return forms[one.kind]


def canonical(kind: str, value: Any, dialect: str) -> Any:
    if value is None:
        return None
    return {
        "number": lambda: float(value) if isinstance(value, float) else int(value),
        "decimal": lambda: str(value),
        "bits": lambda: int(value, 2) if dialect == "postgres" else int(value),
        "moment": lambda: _moment(str(value)),
        "duration": lambda: value if isinstance(value, int) else _microseconds(value),
        "bytes": lambda: str(value).lower(),
        "json": lambda: json.loads(value),
        "text": lambda: str(value),
        "address": lambda: str(value),
    }[kind]()


def _moment(text: str) -> str:
    text = text.removesuffix("+00")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _microseconds(text: str) -> int:
    hours, minutes, seconds = text.lstrip("-").split(":")
    size = int((Decimal(hours) * 3600 + Decimal(minutes) * 60 + Decimal(seconds)) * 1_000_000)
    return -size if text.startswith("-") else size
