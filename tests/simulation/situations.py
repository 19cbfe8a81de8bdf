"""
Situations that are known to be too much for the capture, and so are left out of the worlds until they are not.
"""

from __future__ import annotations

EMPTY_SET = "failover or purge while nothing with a global id is published"
SAME_SECOND = "a start at a time in whose second a log file begins"
MARIADB_FILES = "another server of MariaDB, which is compared by its files"
BETWEEN_QUESTIONS = "failover without global ids between the look at a server and the dump"
LEFT_OUT = frozenset((EMPTY_SET, MARIADB_FILES, BETWEEN_QUESTIONS))
"""docs/delivery.md lists them, "Known limits"."""
