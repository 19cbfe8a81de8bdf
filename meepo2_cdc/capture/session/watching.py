"""
A relay as its status page and its metrics show it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from meepo2_cdc.config import Settings
from meepo2_cdc.kafka.topics import TopicNames
from meepo2_cdc.observe import metrics, words
from meepo2_cdc.observe.cluster import Cluster
from meepo2_cdc.observe.content import Content, Curve, Tile
from meepo2_cdc.observe.history import Meter
from meepo2_cdc.observe.sections import cluster_sections, recent_troubles, records_by_table
from meepo2_cdc.observe.vitals import Health, Vitals


class RelaySubject:
    """What is told of a Relay."""

    role: metrics.Role = "relay"
    curves: Sequence[Curve] = (Curve("records", "Records to Kafka", "per second"),)

    def __init__(self, settings: Settings, vitals: Vitals) -> None:
        self.title = f"{settings.prefix}: relay of {settings.session.name}"
        self._vitals = vitals
        self._summary = f"moves the rows of {settings.session.outbox_table}"
        names = TopicNames(settings.prefix, settings.topics.template)
        self._cluster = Cluster(settings.kafka, names, settings.prefix)
        self._rate = Meter()
        metrics.ACTIVE.set_function(lambda: vitals.state == "running")

    def start(self) -> None:
        self._cluster.start()

    def close(self) -> None:
        self._cluster.close()

    def health(self) -> Health:
        vitals = self._vitals
        lacks = {"starting": ("it starts",), "ended": ("it ends",)}.get(vitals.state, ())
        return Health(vitals.state, vitals.clock() - vitals.moved_at, lacks)

    def sample(self) -> Mapping[str, float]:
        records = metrics.total(metrics.RECORDS)
        self._rate.add(records)
        return {"records": records}

    def content(self) -> Content:
        sections = [records_by_table(), *cluster_sections(self._cluster.facts()), recent_troubles()]
        return Content(self._summary, self._tiles(), sections)

    def _tiles(self) -> list[Tile]:
        at = metrics.total(metrics.COMMITTED_AT)
        return [
            Tile("Rate", f"{words.short(self._rate.a_second)}/s", "records to Kafka"),
            Tile("Records", words.short(metrics.total(metrics.RECORDS)), "since this process began"),
            Tile("Last change", words.duration(time.time() - at if at else math.nan), "ago"),
        ]
