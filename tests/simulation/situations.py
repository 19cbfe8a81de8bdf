"""
Situations that are known to be too much for the capture, and so are left out of the worlds until they are not.
"""

from __future__ import annotations

EMPTY_SET = "failover or purge while nothing with a global id is published"
SAME_SECOND = "a start at a time in whose second a log file begins"
UNDECIDED_XA = "failover, restore or another server of MariaDB while an XA transaction is undecided"
OLD_FILE = "failover of MariaDB under a living capture, whose old file is taken for one of the new server"
BETWEEN_QUESTIONS = "failover without global ids between the look at a server and the dump"
LEFT_OUT = frozenset((EMPTY_SET, SAME_SECOND, UNDECIDED_XA, OLD_FILE, BETWEEN_QUESTIONS))
"""What the capture is known not to survive yet; each has a test that expects to fail."""
