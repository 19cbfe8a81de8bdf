"""
What the benchmarks read: row changes of six kinds, made on the server itself and written to its log.

Every value follows from the row's number, so that two runs have the same bytes and the keys need not be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.servers import Session

ROWS_A_STATEMENT = 1000
NUMBERS = "CREATE TABLE numbers (n INT NOT NULL PRIMARY KEY)"

ORDERS = """
CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, customer INT NOT NULL, sku VARCHAR(40) NOT NULL, quantity SMALLINT NOT NULL,
  price DECIMAL(10, 2) NOT NULL, discount DOUBLE NULL, status ENUM('new', 'paid', 'shipped') NOT NULL,
  note VARCHAR(200) NULL, attributes VARCHAR(50) NULL, created_at DATETIME(3) NOT NULL, updated_at TIMESTAMP NOT NULL
) CHARACTER SET utf8mb4
"""
ORDER = """
{n}, {n} * 7919 % 1000003, CONCAT('SKU-', LPAD({n} % 1000000, 6, '0')), {n} % 99 + 1, {n} * 37 % 100000 / 100,
IF({n} % 3, {n} % 1000 / 1000, NULL), ELT({n} % 3 + 1, 'new', 'paid', 'shipped'), RPAD(MD5({n}), 100, MD5({n} + 1)),
CONCAT('{{"size":', {n} % 50, ',"gift":true}}'), '2026-01-01 10:00:00.125', '2026-01-01 10:00:00'
"""

LINES = """
CREATE TABLE order_lines (
  tenant INT NOT NULL, code VARCHAR(20) NOT NULL, line SMALLINT NOT NULL, amount DECIMAL(10, 2) NOT NULL,
  note VARCHAR(100) NULL, made_at DATETIME NOT NULL, PRIMARY KEY (tenant, code, line)
) CHARACTER SET utf8mb4
"""
LINE = """
{n} % 50, CONCAT('ord-', LPAD({n} DIV 10, 8, '0')), {n} % 10, {n} % 100000 / 100, IF({n} % 4, MD5({n}), NULL),
'2026-01-01 10:00:00'
"""

_WIDE_COLUMNS = 59
_WIDE_KINDS = (
    ("INT NULL", "IF({n} % 7 = {c} % 7, NULL, {n} + {c})"),
    ("VARCHAR(40) NOT NULL", "CONCAT('value-', {n} % 1000, '-{c}')"),
    ("DECIMAL(12, 4) NOT NULL", "{n} % 100000 / 16"),
    ("DATETIME NOT NULL", "'2026-01-01 10:00:00'"),
    ("TINYINT NOT NULL", "{n} % 100"),
    ("VARCHAR(400) NULL", "CONCAT('text-', {n} % 77)"),
)


def _wide() -> tuple[str, str]:
    kinds = [_WIDE_KINDS[c % len(_WIDE_KINDS)] for c in range(_WIDE_COLUMNS)]
    columns = ", ".join(f"c{c} {declared}" for c, (declared, _) in enumerate(kinds))
    values = ", ".join(value.replace("{c}", str(c)) for c, (_, value) in enumerate(kinds))
    return f"CREATE TABLE wide (id INT NOT NULL PRIMARY KEY, {columns}) CHARACTER SET utf8mb4", f"{{n}}, {values}"


WIDE, WIDE_ROW = _wide()


@dataclass(frozen=True, slots=True)
class DataSet:
    """
    One kind of load.  `rows` is how many changes a run of scale 1 has.

    `before` is what is done without a trace in the log, `write` what is measured; `key` is the key of a row by its
    number, as `reading.keys_of` spells it.
    """

    name: str
    about: str
    table: str
    rows: int
    before: Callable[[Session, int], None]
    write: Callable[[Session, int], None]
    key: Callable[[int], str] = str

    def keys(self, rows: int) -> Iterator[str]:
        return map(self.key, range(1, rows + 1))


def _insert(table: str, values: str) -> Callable[[Session, int], None]:
    """Statements of a thousand rows each."""

    def insert(session: Session, rows: int) -> None:
        row = values.format(n="(%s + n)")
        for first in range(1, rows + 1, ROWS_A_STATEMENT):
            count = min(ROWS_A_STATEMENT, rows + 1 - first)
            session.run(f"INSERT INTO {table} SELECT {row.replace('%s', str(first))} FROM numbers WHERE n < {count}")

    return insert


def _one_by_one(session: Session, rows: int) -> None:
    """A transaction for each row; by a procedure, since a client would be the slower part."""
    session.run(f"CALL fill(1, {rows})")


def _procedure(session: Session, rows: int) -> None:
    """Makes the table's empty rows' writer; `rows` is not needed."""
    session.run(ORDERS)
    session.run(
        "CREATE PROCEDURE fill(first INT, last INT) BEGIN DECLARE i INT DEFAULT first; WHILE i <= last DO"
        f" INSERT INTO orders VALUES ({ORDER.format(n='i')}); SET i = i + 1; END WHILE; END"
    )


def _filled(session: Session, rows: int) -> None:
    session.run(ORDERS)
    _insert("orders", ORDER)(session, rows)


def _update(session: Session, rows: int) -> None:
    for first in range(1, rows + 1, ROWS_A_STATEMENT):
        last = min(first + ROWS_A_STATEMENT - 1, rows)
        session.run(f"UPDATE orders SET quantity = quantity + 1 WHERE id BETWEEN {first} AND {last}")


def _compressed(session: Session, rows: int) -> None:
    session.run("SET SESSION binlog_transaction_compression = ON")
    _insert("orders", ORDER)(session, rows)
    session.run("SET SESSION binlog_transaction_compression = OFF")


def _create(statement: str) -> Callable[[Session, int], None]:
    return lambda session, rows: session.run(statement)


def _line_key(n: int) -> str:
    return f"{n % 50}|ord-{n // 10:08}|{n % 10}"


DATA_SETS = {
    one.name: one
    for one in (
        DataSet("bulk", "1,000-row inserts of 11 mixed columns, about 170 bytes a row", "orders", 500_000,
                _create(ORDERS), _insert("orders", ORDER)),
        DataSet("oltp", "the same rows, each in a transaction of its own", "orders", 100_000, _procedure, _one_by_one),
        DataSet("updates", "updates of 1,000 rows, full images before and after", "orders", 200_000, _filled, _update),
        DataSet("wide", "1,000-row inserts of 60 columns, one in seven of the numbers null", "wide", 100_000,
                _create(WIDE), _insert("wide", WIDE_ROW)),
        DataSet("composite", "1,000-row inserts, a key of three parts, one of them a string", "order_lines", 300_000,
                _create(LINES), _insert("order_lines", LINE), _line_key),
        DataSet("compressed", "the rows of bulk in zstd-compressed transactions", "orders", 300_000,
                _create(ORDERS), _compressed),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """A data set in the log of a server: where it begins, and what readers must find."""

    data_set: DataSet
    schema: str
    rows: int
    file: str
    position: int
    gtid_set: str
    log_bytes: int

    @property
    def table(self) -> str:
        return self.data_set.table

    def keys(self) -> set[str]:
        return set(self.data_set.keys(self.rows))


def write(session: Session, data_set: DataSet, rows: int, schema: str) -> Written:
    """Makes the schema anew and writes the data set; what is needed before is not in the log."""
    with session.unlogged():
        session.run(f"DROP DATABASE IF EXISTS {schema}")
    session.run(f"CREATE DATABASE {schema}")
    session.run(f"USE {schema}")
    with session.unlogged():
        session.run(NUMBERS)
        session.run(f"INSERT INTO numbers VALUES {', '.join(f'({n})' for n in range(ROWS_A_STATEMENT))}")
        data_set.before(session, rows)
    file, position, gtid_set = session.begin_log()
    data_set.write(session, rows)
    return Written(data_set, schema, rows, file, position, gtid_set, session.log_bytes(file, position))
