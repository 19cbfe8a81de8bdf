"""
Where each server answers, as tests ask for it: the environment first, then what `up` wrote.

Knows names and one file; starts nothing.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.services import places

VARIABLES = {
    "mysql": "MEEPO2_TEST_MYSQL_DSN",
    "mysql9": "MEEPO2_TEST_MYSQL9_DSN",
    "mariadb": "MEEPO2_TEST_MARIADB_DSN",
    "mariadb11": "MEEPO2_TEST_MARIADB11_DSN",
    "kafka": "MEEPO2_TEST_KAFKA",
    "registry": "MEEPO2_TEST_REGISTRY_URL",
    "redis": "MEEPO2_TEST_REDIS_URL",
    "elasticsearch": "MEEPO2_TEST_ELASTICSEARCH_URL",
    "postgres": "MEEPO2_TEST_POSTGRES_URL",
    # Programs that came with a natively started server, as paths.
    "mysqlbinlog": "MEEPO2_TEST_MYSQLBINLOG",
    "mariadb-binlog": "MEEPO2_TEST_MARIADB_BINLOG",
    # Programs that are built.
    "helm": "MEEPO2_TEST_HELM",
    "chromium": "MEEPO2_TEST_CHROMIUM",
}


def address(name: str) -> str | None:
    """The server's address (a DSN, host:port or URL), or None when it was neither given nor started."""
    if name not in VARIABLES:
        raise ValueError(f"there is no server {name!r}; there are: {', '.join(VARIABLES)}")
    variable = VARIABLES[name]
    return os.environ.get(variable) or read_exports(places.STATE / "env").get(variable)


def read_exports(path: Path) -> dict[str, str]:
    """The values of a file of `export NAME=value` lines; empty when there is no file."""
    if not path.exists():
        return {}
    words = [shlex.split(line, comments=True) for line in path.read_text().splitlines()]
    pairs = [line[1].partition("=") for line in words if line[:1] == ["export"]]
    return {name: value for name, _, value in pairs}


def write_exports(path: Path, values: Mapping[str, str]) -> None:
    """Write the lines so that a reader at the same time sees the old file or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())))
    new.replace(path)
