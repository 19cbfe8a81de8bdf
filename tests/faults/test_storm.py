"""
All faults at random, for 25 seconds in CI and for longer by MEEPO2_FAULT_SECONDS; MEEPO2_FAULT_SEED repeats a run.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import pytest

from tests.faults import workload
from tests.faults.comparison import Comparison, compare
from tests.faults.owned import OwnedKafka, OwnedSources, fresh_scene
from tests.faults.storm import Storm
from tests.faults.trial import loaded, verdict
from tests.proxy import Proxy

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0")) / 2 or 25.0
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "4103"))
ROUND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Weathered:
    """What a round did, and what came of it."""

    flavor: str
    seed: int
    storm: Storm
    load: workload.Load
    found: Comparison

    def __str__(self) -> str:
        storm = self.storm
        faults = ", ".join(f"{count} x {name}" for name, count in sorted(storm.faults.items()))
        return (
            f"storm on {self.flavor}, seed {self.seed}: {storm.faults.total()} faults ({faults});"
            f" {storm.starts} starts, {self.load.transactions} transactions, {self.found};"
            f" caught up in {storm.caught_up_seconds:.1f} s"
        )


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_a_storm(flavor: str, sources: OwnedSources, own_kafka: OwnedKafka, capsys: pytest.CaptureFixture[str]) -> None:
    """What no list of faults names: two of them at once, or one in the recovery from another."""
    end = time.monotonic() + SECONDS
    seed = SEED
    while seed == SEED or time.monotonic() < end:
        print(f"MEEPO2_FAULT_SEED={seed}")
        outcome = _round(flavor, sources, own_kafka, seed, min(ROUND_SECONDS, end - time.monotonic()))
        with capsys.disabled():
            print(f"\n{outcome}")
        verdict(outcome.found)
        assert outcome.load.done.keys() == workload.KINDS, "a storm without part of the load proves less than it says"
        seed += 1


def _round(flavor: str, sources: OwnedSources, own_kafka: OwnedKafka, seed: int, seconds: float) -> Weathered:
    owned = sources(flavor)
    with (
        Proxy(owned.server.host, owned.server.port) as link,
        fresh_scene(owned.server, own_kafka.process.address) as scene,
    ):
        scene.settings |= {
            "MEEPO2_SOURCE_DSN": f"mysql://root:@127.0.0.1:{link.port}/",
            "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": own_kafka.proxied,
        }
        workload.prepare(scene)
        with loaded(scene, seed) as load:
            storm = Storm(scene, owned, link, own_kafka, seed)
            storm.rage(seconds)
        storm.calm()
        return Weathered(flavor, seed, storm, load, compare(scene))
