"""
All faults at random, for a minute in CI and for longer by MEEPO2_FAULT_SECONDS; MEEPO2_FAULT_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass

import pytest

from tests.faults import workload
from tests.faults.comparison import compare
from tests.faults.owned import OwnedKafka, OwnedSources, fresh_scene
from tests.faults.storm import Storm
from tests.faults.trial import loaded
from tests.proxy import Proxy

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0")) / 2 or 25.0
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
ROUND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Weathered:
    """What a round did, and what came of it."""

    flavor: str
    seed: int
    storm: Storm
    records: int
    lost: int
    repeated: int

    def __str__(self) -> str:
        faults = ", ".join(f"{count} x {name}" for name, count in sorted(self.storm.faults.items()))
        return (
            f"storm on {self.flavor}, seed {self.seed}: {self.storm.faults.total()} faults ({faults});"
            f" {self.storm.starts} starts, {self.records} records, {self.lost} lost, {self.repeated} repeated"
        )


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_a_storm(flavor: str, sources: OwnedSources, own_kafka: OwnedKafka, capsys: pytest.CaptureFixture[str]) -> None:
    """What no list of faults names: two of them at once, or one in the recovery from another."""
    end = time.monotonic() + SECONDS
    seed = SEED
    while seed == SEED or time.monotonic() < end:
        print(f"MEEPO2_FAULT_SEED={seed}")
        outcome, wrong = _round(flavor, sources, own_kafka, seed, min(ROUND_SECONDS, end - time.monotonic()))
        with capsys.disabled():
            print(f"\n{outcome}")
        assert wrong == [], f"seed {seed}"
        seed += 1


def _round(
    flavor: str, sources: OwnedSources, own_kafka: OwnedKafka, seed: int, seconds: float
) -> tuple[Weathered, list[str]]:
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
        with loaded(scene, seed):
            storm = Storm(scene, owned, link, own_kafka, seed)
            storm.rage(seconds)
        storm.calm()
        scene.caught_up()
        found = compare(scene)
        return Weathered(flavor, seed, storm, found.records, found.lost, found.repeated), found.wrong
