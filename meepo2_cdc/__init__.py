"""
meepo2-cdc: the changes of a MySQL or MariaDB database as small Avro records in Kafka.

Importing this opens no socket and needs no optional driver.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from meepo2_cdc.records import Action, KeyPart, Source, TableAction

try:
    __version__ = version("meepo2-cdc")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+uninstalled"

if TYPE_CHECKING:
    from meepo2_cdc.capture.session.publisher import sqlalchemy_pub
    from meepo2_cdc.replay.app import App

_WHERE = {"App": "meepo2_cdc.replay.app", "sqlalchemy_pub": "meepo2_cdc.capture.session.publisher"}
"""What is imported at its first use, since it needs Kafka's client."""

__all__ = ["Action", "App", "KeyPart", "Source", "TableAction", "__version__", "sqlalchemy_pub"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
