"""The values that travel between source, Kafka and sinks, and their bytes.  Imports nothing else of ours."""

from meepo2_cdc.records.table_action import Action, KeyPart, Source, TableAction

__all__ = ["Action", "KeyPart", "Source", "TableAction"]
