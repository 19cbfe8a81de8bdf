"""
What the server must allow and have set, with the statement that mends each.

A check that fails stops the capture before it reads anything; an advice does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import structlog

from meepo2_cdc.capture.binlog.log_contents import what_the_log_has
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.checks import Finding
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

DAY_SECONDS = 86400.0


def require(
    server: SourceServer, server_id: int, tables: TableFilter, whole_rows: bool = False,
    downtime_seconds: float = DAY_SECONDS,
) -> list[Finding]:  # fmt: skip
    """All findings; raises ConfigError that names those that failed."""
    findings = inspect(server, server_id, tables, whole_rows=whole_rows, downtime_seconds=downtime_seconds)
    failed = [one for one in findings if not one.passed and not one.advice]
    if failed:
        names = ", ".join(one.name for one in failed)
        others = f"Checked {len(findings)}: the other {len(findings) - len(failed)} passed."
        raise ConfigError(
            "; ".join(f"{server.address} has {one.found}" for one in failed),
            fix="\n".join([*(one.fix for one in failed), f"{others}  (meepo2-cdc check --explain {names})"]),
        )
    return findings


def tell_advice(findings: Iterable[Finding]) -> None:
    """In the log of what is started: one line for each that did not pass; a warning of what will end it."""
    for one in findings:
        if not one.passed:
            tell = log.info if one.advice else log.warning
            tell("A check did not pass", check=one.name, found=one.found, see=f"check --explain {one.name}")


def inspect(
    server: SourceServer, server_id: int, tables: TableFilter, whole_rows: bool = False,
    downtime_seconds: float = DAY_SECONDS,
) -> list[Finding]:  # fmt: skip
    """`whole_rows`: rows are published beside their keys; `downtime_seconds`: how long the log must outlast."""
    return [
        *_log_settings(server),
        *(_whole_rows(server) if whole_rows else ()),
        *_grants(server),
        *what_the_log_has(server, downtime_seconds),
        _server_id(server, server_id),
        *_keys(server, tables),
        *_cascades(server, tables),
    ]


_WANTED = {
    # name: (values that will do, value to set, needs a restart)
    "log_bin": (("ON",), "ON", True),
    "binlog_format": (("ROW",), "ROW", False),
    "binlog_row_image": (("FULL", "NOBLOB", "FULL_NODUP"), "FULL", False),
}


def _log_settings(server: SourceServer) -> Iterator[Finding]:
    values = server.variables(*_WANTED, "binlog_row_metadata", "gtid_mode")
    for name, (will_do, wanted, restart) in _WANTED.items():
        if name not in values:  # this server knows no such setting
            continue
        fix = (
            f"Add {name} and server_id to the server's configuration, and restart it."
            if restart
            else f"Run on the server:  {_set(server)} {name} = {wanted};   (sessions that are open keep the old value)"
        )
        yield Finding(name.replace("_", "-"), f"{name}={values[name]}", values[name].upper() in will_do, fix=fix)
    metadata = values.get("binlog_row_metadata", "not known to this server")
    yield Finding(
        "row-metadata",
        f"binlog_row_metadata={metadata}",
        metadata == "FULL",
        advice=True,
        fix="Keys are looked up in information_schema, and rows of tables that changed meanwhile cannot be read.\n"
        f"Run on the server:  {_set(server)} binlog_row_metadata = FULL;",
    )
    if server.flavor == "mysql":
        yield Finding(
            "gtid-mode",
            f"gtid_mode={values.get('gtid_mode')}",
            server.has_gtids,
            advice=True,
            fix="Without GTIDs the checkpoint is a file and a position, and does not survive a failover.",
        )
    yield Finding(
        "visibility",
        "changes are published when the engine has committed them"
        if server.has_gtids
        else "what is published cannot be compared with what the engine has committed, since there are no GTIDs",
        server.has_gtids,
        advice=True,
        fix="A consumer that reads a row at once may get the old one.  With gtid_mode = ON it cannot.",
    )


_FOR_ROWS = {
    "binlog_row_metadata": (("FULL",), "FULL"),
    "binlog_row_image": (("FULL", "FULL_NODUP"), "FULL"),
    "binlog_row_value_options": (("",), "''"),
}


def _whole_rows(server: SourceServer) -> Iterator[Finding]:
    """What [[capture.rows]] needs: the log must have each row whole, with the names of its columns."""
    values = server.variables(*_FOR_ROWS)
    for name, (will_do, wanted) in _FOR_ROWS.items():
        if name in values:
            yield Finding(
                f"rows-{name.removeprefix('binlog_').replace('_', '-')}",
                f"{name}={values[name]}, and [[capture.rows]] publishes rows",
                values[name].upper() in will_do,
                fix=f"Run on the server:  {_set(server)} {name} = {wanted};   (open sessions keep the old value)",
            )


def _set(server: SourceServer) -> str:
    return "SET PERSIST" if server.flavor == "mysql" and not server.version.startswith("5.") else "SET GLOBAL"


def _grants(server: SourceServer) -> Iterator[Finding]:
    rows = server.catalog.ask("SHOW GRANTS")
    grants = [str(next(iter(row.values()))).upper() for row in rows]
    everywhere = " ".join(grant for grant in grants if " ON *.* " in grant)
    user = str(server.catalog.ask("SELECT CURRENT_USER() AS user")[0]["user"])
    name, _, host = user.rpartition("@")
    monitor = "REPLICATION CLIENT" if server.flavor == "mysql" else "BINLOG MONITOR"
    for grant, also in (("REPLICATION SLAVE", "REPLICATION REPLICA"), (monitor, "REPLICATION CLIENT")):
        has = any(word in everywhere for word in (grant, also, "ALL PRIVILEGES")) or _has_role(grants)
        yield Finding(
            grant.lower().replace(" ", "-"),
            f"{user} {'with' if has else 'without'} the grant {grant}",
            has,
            fix=f"Run on the server:  GRANT {grant} ON *.* TO '{name}'@'{host}';",
        )


def _has_role(grants: list[str]) -> bool:
    """What a role brings is not listed; the server itself will say when it is not enough."""
    return any(" ON " not in grant for grant in grants)


def _server_id(server: SourceServer, server_id: int) -> Finding:
    own = server.variables("server_id")["server_id"]
    return Finding(
        "server-id",
        f"server_id={own}, the capture {server_id}",
        own not in ("0", str(server_id)),
        fix="Set another source.server_id (MEEPO2_SOURCE_SERVER_ID)." if own != "0" else "Give the server a server_id.",
    )


def _keys(server: SourceServer, tables: TableFilter) -> Iterator[Finding]:
    rows = server.catalog.ask(_TABLES)
    captured = [row for row in rows if tables.passes(str(row["s"]), str(row["t"]))]
    bare = sorted(f"{row['s']}.{row['t']}" for row in captured if not row["keyed"])
    yield Finding(
        "tables",
        f"{len(captured)} tables that match {', '.join(tables.globs)}",
        bool(captured),
        advice=True,
        fix="No table matches now, or none that this account may see:  GRANT SELECT ON *.* TO ...",
    )
    ghosts = sorted(f"{row['s']}.{row['t']}" for row in rows if tables.is_ghost(str(row["s"]), str(row["t"])))
    yield Finding(
        "online-ddl",
        f"{len(ghosts)} tables left out for their names" + (f": {', '.join(ghosts[:20])}" if ghosts else ""),
        not ghosts,
        advice=True,
        fix="They look like the copies of gh-ost and pt-online-schema-change.  To capture one, name it in tables.",
    )
    yield Finding(
        "primary-keys",
        f"{len(bare)} tables without a primary key" + (f": {', '.join(bare[:20])}" if bare else ""),
        not bare,
        advice=True,
        fix="Their changes are counted and passed over.  ALTER TABLE ... ADD PRIMARY KEY, or exclude them in tables.",
    )


_TABLES = """
SELECT t.TABLE_SCHEMA AS s, t.TABLE_NAME AS t, COUNT(k.COLUMN_NAME) AS keyed
FROM information_schema.TABLES t
LEFT JOIN information_schema.COLUMNS k
  ON k.TABLE_SCHEMA = t.TABLE_SCHEMA AND k.TABLE_NAME = t.TABLE_NAME AND k.COLUMN_KEY = 'PRI'
WHERE t.TABLE_TYPE = 'BASE TABLE'
GROUP BY t.TABLE_SCHEMA, t.TABLE_NAME
"""


def _cascades(server: SourceServer, tables: TableFilter) -> Iterator[Finding]:
    """Rows that a foreign key deletes or changes are not in the log, but where the SQL layer does it (MySQL 9.6)."""
    native = server.variables("innodb_native_foreign_keys").get("innodb_native_foreign_keys")
    if native == "OFF":
        return
    rows = server.catalog.ask(_CASCADES)
    children = sorted({f"{row['s']}.{row['t']}" for row in rows if tables.passes(str(row["s"]), str(row["t"]))})
    yield Finding(
        "cascades",
        f"{len(children)} tables whose rows foreign keys change without a trace in the log"
        + (f": {', '.join(children[:20])}" if children else ""),
        not children,
        advice=True,
        fix="ON DELETE and ON UPDATE CASCADE or SET NULL are not logged by this server: consumers will not hear of it."
        "\nUse ON DELETE RESTRICT and delete the children first, or let consumers of the parent take care of them.",
    )


_CASCADES = """
SELECT CONSTRAINT_SCHEMA AS s, TABLE_NAME AS t
FROM information_schema.REFERENTIAL_CONSTRAINTS
WHERE DELETE_RULE NOT IN ('NO ACTION', 'RESTRICT') OR UPDATE_RULE NOT IN ('NO ACTION', 'RESTRICT')
"""
