"""
Rows behind a savepoint: held until their transaction ends, since going back to the savepoint undoes them.

MySQL leaves undone rows out of the log.  MariaDB does so only as long as no temporary table and none without
transactions was used; else the log has them, and `ROLLBACK TO` behind them.
"""

from __future__ import annotations

from meepo2_cdc.capture.binlog.transactions import Rows, Transaction

HELD_LIMIT = 1000
"""So many rows events, of 8 KiB each as a rule, are held; more are given out, since as a rule they are not undone."""
_GIVEN = -1


def set_savepoint(transaction: Transaction, name: str) -> None:
    transaction.savepoints = (transaction.savepoints or {}) | {name: len(transaction.held)}


def go_back(transaction: Transaction, name: str) -> bool:
    """Forgets the rows behind the savepoint; False when some of them were given out, or may have been."""
    held = (transaction.savepoints or {}).get(name, _GIVEN)
    is_known = held != _GIVEN or not (transaction.rows or transaction.held)
    del transaction.held[max(held, 0) :]
    return is_known


def hold(transaction: Transaction, rows: Rows) -> bool:
    """False when there are too many: then all that are held are to be given out."""
    transaction.held.append(rows)
    if len(transaction.held) < HELD_LIMIT:
        return True
    transaction.savepoints = dict.fromkeys(transaction.savepoints or {}, _GIVEN)
    return False
