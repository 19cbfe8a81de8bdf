"""
What the server's errors mean for the capture.
"""

from __future__ import annotations

import pymysql
import pytest

from meepo2_cdc.capture.binlog.connection import translated
from meepo2_cdc.errors import ConfigError, Error, Fenced, PositionLost, SourceUnavailable, UnreadableData

MEANINGS = [
    (2006, "MySQL server has gone away (SSLEOFError(8, 'EOF occurred in violation of protocol'))", SourceUnavailable),
    (2013, "Lost connection (SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED)", ConfigError),
    (1045, "Access denied for user 'cdc'@'localhost'", ConfigError),
    (1044, "Access denied for user 'cdc'@'%' to database 'shop'", ConfigError),
    (1049, "Unknown database 'shop'", ConfigError),
    (1130, "Host '10.0.0.1' is not allowed to connect", ConfigError),
    (1142, "SELECT command denied to user 'cdc'@'%' for table 'orders'", ConfigError),
    (1227, "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)", ConfigError),
    (1862, "Your password has expired", ConfigError),
    (3118, "Access denied for user 'cdc'@'%'. Account is locked", ConfigError),
    (4151, "Access denied, this account is locked", ConfigError),
    (2059, "Authentication plugin 'x' not configured", ConfigError),
    (1236, "Access denied; you need the REPLICATION SLAVE privilege", ConfigError),
    (1236, "Could not find first log file name in binary log index file", PositionLost),
    (1236, "log event entry exceeded max_allowed_packet", UnreadableData),
    (1236, "A replica with the same server_uuid/server_id as this replica has connected to the source", Fenced),
    (4052, "A slave with the same server_uuid/server_id as this slave has connected", Fenced),
    (1040, "Too many connections", SourceUnavailable),
    (1047, "WSREP has not yet prepared node for application use", SourceUnavailable),
    (1053, "Server shutdown in progress", SourceUnavailable),
    (1129, "Host is blocked because of many connection errors", SourceUnavailable),
    (1927, "Connection was killed", SourceUnavailable),
    (2003, "Can't connect to MySQL server", SourceUnavailable),
    (2013, "Lost connection to MySQL server during query", SourceUnavailable),
    (3169, "The session was killed", SourceUnavailable),
]


@pytest.mark.parametrize(("code", "text", "meaning"), MEANINGS)
def test_an_error_means_what_must_happen_next(code: int, text: str, meaning: type[Error]):
    """A wrong password that is taken for a server that is away is tried for minutes, and looks like an outage."""
    found = translated(pymysql.err.OperationalError(code, text), "db1:3306")
    assert type(found) is meaning
    assert text in found.found


@pytest.mark.parametrize("code", [1064, 1146, 1193, 1298, 5000])
def test_an_error_that_nobody_thought_of_is_told_and_not_tried_again(code: int):
    """It will be the same the next time."""
    found = translated(pymysql.err.OperationalError(code, "no such thing"), "db1:3306")
    assert type(found) is Error
    assert str(code) in found.found


def test_a_connection_that_fell_out_of_step_is_made_anew():
    """Seen once in a hundred starts under load.  PyMySQL closes it; whoever takes it for an answer ends for nothing."""
    error = pymysql.err.InternalError("Packet sequence number wrong - got 3 expected 4")
    found = translated(error, "db1:3306")
    assert type(found) is SourceUnavailable
    assert "got 3 expected 4" in found.found
