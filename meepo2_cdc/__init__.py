"""
meepo2-cdc: the changes of a MySQL or MariaDB database as small Avro records in Kafka.

Importing this opens no socket and needs no optional driver.
"""

from importlib.metadata import PackageNotFoundError, version

from meepo2_cdc.records import Action, KeyPart, Source, TableAction

try:
    __version__ = version("meepo2-cdc")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+uninstalled"

__all__ = ["Action", "KeyPart", "Source", "TableAction", "__version__"]
