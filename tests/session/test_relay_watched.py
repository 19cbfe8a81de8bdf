"""
A relay that is watched: ready while it moves rows, and what its metrics and its page say.
"""

from __future__ import annotations

from sqlalchemy.orm import sessionmaker

from tests.acceptance.test_watching import Watched, free_port
from tests.command import until
from tests.session.conftest import Publish
from tests.session.databases import Database
from tests.session.models import Zero
from tests.session.relaying import relayed


def test_a_relay_tells_what_it_does(sqlite: Database, kafka: str, prefix: str, publish: Publish):
    """Its Deployment waits for it as for a capture, and its page is asked for the same reasons."""
    maker = sessionmaker(sqlite.engine)
    publish(maker)
    with maker() as session:
        session.add(Zero(id=1))
        session.commit()
    port = free_port()
    with relayed(sqlite, kafka, prefix) as relays:
        relays.settings["MEEPO2_SESSION_METRICS_PORT"] = str(port)
        relay = Watched(relays.start(), port)
        until(lambda: relay.ready() == (200, {"ready": True, "state": "running", "why": []}), "it is ready")
        table = f"{sqlite.schema}.zero"
        relay.reaches(f'meepo2_cdc_records_total{{action="write",table="{table}"}}', 1)
        assert relay.value("meepo2_cdc_active") == 1
        assert relay.value("meepo2_cdc_source_connected") is None  # it reads no log
        assert relay.get("/livez")[0] == 200
        assert "zero" in relay.get("/")[1]
