"""
The source server as a whole: who it is, where its log ends, what of it is still there.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pymysql

from meepo2_cdc.capture.binlog.catalog import ServerCatalog
from meepo2_cdc.capture.binlog.connection import connect
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.records.position import LogPosition

_NO_PRIVILEGE = (1227, 1044, 1045, 1142)
_DAY_SECONDS = 86400.0


class SourceServer:
    """Answers are asked for anew each time, but for what cannot change while the server runs."""

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self.address = str(source.address)
        self.catalog = ServerCatalog(lambda: connect(source), assume_present_keys=source.assume_present_keys)

    def close(self) -> None:
        self.catalog.close()

    @cached_property
    def version(self) -> str:
        return str(self.catalog.ask("SELECT VERSION() AS v")[0]["v"])

    @property
    def flavor(self) -> str:
        return "mariadb" if "MariaDB" in self.version else "mysql"

    @property
    def identity(self) -> str:
        """server_uuid on MySQL; MariaDB has nothing better than its server_id."""
        variables = self.variables("server_uuid", "server_id")
        return variables.get("server_uuid") or variables["server_id"]

    @property
    def has_gtids(self) -> bool:
        """Whether every transaction has a global id.  MariaDB always gives one."""
        return self.flavor == "mariadb" or self.variables("gtid_mode").get("gtid_mode") == "ON"

    def variables(self, *names: str) -> dict[str, str]:
        """Global variables by name; those that the server does not have are left out."""
        marks = ", ".join(["%s"] * len(names))
        rows = self.catalog.ask(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", *names)
        # GTID sets come with line ends
        return {str(row["Variable_name"]).lower(): str(row["Value"]).replace("\n", "") for row in rows}

    def end(self) -> tuple[LogPosition, str | None]:
        """Where the log ends now, and the transactions executed up to there."""
        rows = self.log_status()
        if not rows:
            raise ConfigError(
                f"{self.address} writes no binary log (log_bin is OFF)",
                fix="Add log_bin and server_id to the server's configuration, and restart it.",
            )
        at = LogPosition(str(rows[0]["File"]), int(rows[0]["Position"]))
        if not self.has_gtids:
            return at, None
        if self.flavor == "mysql":
            return at, str(rows[0]["Executed_Gtid_Set"]).replace("\n", "")
        executed = self.catalog.ask("SELECT BINLOG_GTID_POS(%s, %s) AS gtids", at.file, at.offset)[0]["gtids"]
        return at, str(executed or "")

    def files(self) -> list[tuple[str, int]]:
        """Names and sizes of the log's files, oldest first."""
        return [(str(row["Log_name"]), int(row["File_size"])) for row in self._privileged("SHOW BINARY LOGS")]

    def keep_seconds(self) -> float | None:
        """How long a file of the log is kept; None where none is purged for its age.  Older servers count in days."""
        found = self.variables("binlog_expire_logs_seconds", "expire_logs_days", "binlog_expire_logs_auto_purge")
        days = float(found.get("expire_logs_days") or 0)
        seconds = float(found.get("binlog_expire_logs_seconds") or 0) or _DAY_SECONDS * days
        purges = seconds > 0 and found.get("binlog_expire_logs_auto_purge", "ON") == "ON"
        return seconds if purges else None

    def sends_log_to(self, server_id: int) -> bool:
        """Whether a replica of this number is connected; on MariaDB, whether any is of this account."""
        if self.flavor == "mariadb":  # which tells the numbers to administrators only
            query = "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND = 'Binlog Dump' AND USER = %s"
            user = str(self.catalog.ask("SELECT CURRENT_USER() AS user")[0]["user"]).rpartition("@")[0]
            return bool(self.catalog.ask(query, user))
        try:
            rows = self._privileged("SHOW REPLICAS")  # MySQL 8.0.22 and later
        except pymysql.err.ProgrammingError:
            rows = self._privileged("SHOW SLAVE HOSTS")
        return any(server_id == int(row.get("Server_Id") or row["Server_id"]) for row in rows)

    def is_subset(self, part: str, whole: str) -> bool:
        """Of MySQL's GTID sets, as the server itself compares them."""
        return bool(self.catalog.ask("SELECT GTID_SUBSET(%s, %s) AS yes", part, whole)[0]["yes"])

    def log_status(self) -> list[dict[str, Any]]:
        """File, position and filters, as the server shows them; empty where it writes no log."""
        try:
            return self._privileged("SHOW BINARY LOG STATUS")  # MySQL 8.2 and later
        except pymysql.err.ProgrammingError:
            return self._privileged("SHOW MASTER STATUS")

    def _privileged(self, query: str) -> list[dict[str, Any]]:
        try:
            return self.catalog.ask(query)
        except Error as error:
            cause = error.__cause__
            if isinstance(cause, pymysql.err.OperationalError) and cause.args[0] in _NO_PRIVILEGE:
                grant = "REPLICATION CLIENT" if self.flavor == "mysql" else "BINLOG MONITOR"
                user = self.catalog.ask("SELECT CURRENT_USER() AS user")[0]["user"]
                name, _, host = str(user).rpartition("@")
                raise ConfigError(
                    f"{user} may not ask {self.address} for its log: {cause.args[1]}",
                    fix=f"Run on the server:  GRANT {grant}, REPLICATION SLAVE ON *.* TO '{name}'@'{host}';",
                ) from error
            raise
