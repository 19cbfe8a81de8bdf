"""
The page for those who come from meepo2: every name that it had is there, and every command that it tells exists.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from meepo2_cdc.cli.main import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "migrating-from-meepo2.md"
TOLD = """
mysql_pub tables blocking server_id log_file log_pos resume_stream auto_position only_tables only_schemas only_events
ignored_events filter_non_implemented_events mysql_binlog_pos <table>_write <table>_update <table>_delete
<table>_write_raw <table>_update_raw <table>_delete_raw meepo2.signals sqlalchemy_pub pub(iterable) pub.tables
meepo2_unique_id pending_write pending_update pending_delete
print_sub zmq_sub forwarder green nano_sub statsd_sub statsd_dsn rate zmq_proxy
sqlalchemy_es_pub session_prepare session_commit session_rollback redis_es_sub strict namespace ttl socket_timeout
statsd_es_sub EventStore RedisEventStore add replay query clear PrepareCommit RedisPrepareCommit prepare commit rollback
phase session_info prepare_info meepo2_prepare_ts
Replicator listen QueueReplicator.event QueueReplicator.run RqReplicator.event RqReplicator.run
workers multi queue_limit
Worker max_retry_count max_retry_interval retry MAX_PK_COUNT WorkerPool waiting_time terminate RedisCacheReplicator
cast_bytes cast_str cast_datetime setup_logger meepo2.pub meepo2.sub meepo2.redis_es meepo2.prepare_commit
meepo2.replicator
mprint mreplicate mzmq mnano mzdevice meventsourcing es_sub strict_tables repl.py mysql_demo.py sqlalchemy_demo.py
"""


@pytest.mark.parametrize("name", TOLD.split())
def test_every_public_name_of_the_predecessor_has_a_line(name: str) -> None:
    """S94.  Who greps an old program for names must find each of them here."""
    left = [row.split(" | ")[0] for row in PAGE.read_text().splitlines() if row.startswith("| ")]
    code = " ".join(re.findall(r"`([^`]+)`", "\n".join(left)))
    assert re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", code), f"{name} is in no row of {PAGE.name}"


def test_what_the_page_tells_exists() -> None:
    """S89, S93.  A replacement with another name is none."""
    text = PAGE.read_text()
    installed = {one.name for one in entry_points(group="meepo2_cdc.connectors")}
    assert set(re.findall(r"meepo2-cdc run (\w+)", text)) <= installed
    assert set(re.findall(r"meepo2-cdc ([a-z][a-z-]+)", text)) - {"run"} <= set(COMMANDS)
    for path in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / path).exists(), path
    for module, name in re.findall(r"`(meepo2_(?:cdc|connectors)[\w.]*)\.(\w+)\(", text):
        assert hasattr(import_module(module), name), f"{module}.{name}"
