"""
What the server's log has in it, for how long, and by which clock: advice, none of which keeps a capture from running.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pymysql

from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.checks import Finding
from meepo2_cdc.errors import Error

_CLOCK_SECONDS = 5.0


def what_the_log_has(server: SourceServer, downtime_seconds: float) -> Iterator[Finding]:
    yield _retention(server, downtime_seconds)
    yield _clock(server)
    yield _compression(server)
    yield from _filters(server)
    yield from _sessions(server)
    yield from _replica_updates(server)


def _retention(server: SourceServer, downtime_seconds: float) -> Finding:
    kept = server.keep_seconds()
    how_long = "for ever" if kept is None else f"for {timedelta(seconds=kept)}"
    return Finding(
        "log-retention",
        f"the log is kept {how_long}; the capture may be down for {timedelta(seconds=downtime_seconds)}",
        kept is None or kept >= downtime_seconds,
        advice=True,
        fix="A longer stop ends with exit code 3, and a gap.  Raise binlog_expire_logs_seconds on the server, or lower"
        " capture.expected_downtime_seconds.",
    )


def _clock(server: SourceServer) -> Finding:
    """The answer was made at some moment of the question's time."""
    began = time.time()
    told = float(server.catalog.ask("SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS now")[0]["now"])
    ended = time.time()
    ahead = told - (began + ended) / 2
    return clock_finding("source-clock", "the source", ahead, (ended - began) / 2)


def clock_finding(name: str, whose: str, ahead_seconds: float, unsure_seconds: float) -> Finding:
    apart = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'}"
    return Finding(
        name,
        f"the clock of {whose} is {apart} this machine's (to within {unsure_seconds:.1f} s)",
        abs(ahead_seconds) <= _CLOCK_SECONDS + unsure_seconds,
        advice=True,
        fix="Lags and times are wrong by as much.  Let both machines be kept by NTP.",
    )


def _compression(server: SourceServer) -> Finding:
    names = ("binlog_transaction_compression", "log_bin_compress")
    values = [f"{name}={value}" for name, value in server.variables(*names).items()]
    return Finding("log-compression", ", ".join(values) or "this server compresses no log", True)


def _filters(server: SourceServer) -> Iterator[Finding]:
    try:
        status = server.log_status()
    except Error:
        return  # the grants are found wanting elsewhere
    row = status[0] if status else {}
    only, never = str(row.get("Binlog_Do_DB") or ""), str(row.get("Binlog_Ignore_DB") or "")
    kept = [f"only {only}" if only else "", f"nothing of {never}" if never else ""]
    yield Finding(
        "log-filters",
        f"the log has {', '.join(filter(None, kept)) or 'all schemas'}",
        not only and not never,
        advice=True,
        fix="What is not in the log cannot be captured.  Remove binlog_do_db and binlog_ignore_db from the server's"
        " configuration.",
    )


_SESSIONS = """
SELECT COUNT(*) AS n FROM performance_schema.variables_by_thread
WHERE VARIABLE_NAME = 'binlog_format' AND VARIABLE_VALUE <> 'ROW'
"""


def _sessions(server: SourceServer) -> Iterator[Finding]:
    """MySQL tells it to those who may see the performance schema."""
    if server.flavor != "mysql":
        return
    watched = server.variables("performance_schema").get("performance_schema") == "ON"
    count = _asked(server, _SESSIONS) if watched else None
    if count is None:
        found = "the formats of other sessions cannot be seen" + ("" if watched else " (performance_schema=OFF)")
    else:
        found = f"{count[0]['n']} open sessions log statements in place of rows"
    yield Finding(
        "session-formats", found, not count or not count[0]["n"], advice=True,
        fix="The capture stops at their changes.  See performance_schema.variables_by_thread for who they are.",
    )  # fmt: skip


def _replica_updates(server: SourceServer) -> Iterator[Finding]:
    values = server.variables("log_replica_updates", "log_slave_updates")
    off = "OFF" in values.values()
    replica = bool(_asked(server, "SHOW REPLICA STATUS") or _asked(server, "SHOW SLAVE STATUS")) if off else False
    yield Finding(
        "replica-updates",
        "this server is a replica and does not log what comes from its source"
        if replica
        else "the log has what clients change" + ("" if off else ", and what comes from a source"),
        not replica,
        advice=True,
        fix="Set log_replica_updates = ON (MariaDB: log_slave_updates) on it and restart it, or capture its source.",
    )


def _asked(server: SourceServer, query: str) -> list[dict[str, Any]] | None:
    """None where the server does not know such a question, or not from this account."""
    try:
        return server.catalog.ask(query)
    except (Error, pymysql.err.MySQLError):
        return None
