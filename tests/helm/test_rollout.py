"""
What the chart's pods run, run here: with their settings, environment and probes, against real servers.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.command import Running, until
from tests.helm import chart
from tests.scenes import MakeScene, Scene, Server


@dataclass(frozen=True, slots=True)
class Started:
    """A pod that runs as a process; another port stands for the address of its own that a pod has."""

    process: Running
    port: int

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            assert self.process.runs, self.process.said
            return 0, str(error)

    def is_ready(self, state: str) -> bool:
        status, said = self.ask("/readyz")
        return status == 200 and json.loads(said)["state"] == state


Start = Callable[[chart.Pod], Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts pods, which are gone at the end of the test."""
    started: list[Started] = []

    def one(pod: chart.Pod) -> Started:
        file = tmp_path / f"{pod.name}.toml"
        file.write_text(pod.settings)
        port = _free_port()
        variables = {
            name: str(port) if name.endswith("METRICS_PORT") else value for name, value in pod.variables.items()
        }
        started.append(Started(Running(pod.arguments, {**variables, "MEEPO2_CONFIG": str(file)}), port))
        return started[-1]

    yield one
    for each in started:
        each.process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def there(make_scene: MakeScene, mariadb: Server) -> Scene:
    made = make_scene(mariadb)
    made.run("CREATE TABLE test (id INT PRIMARY KEY)")
    return made


def rendered(scene: Scene, tmp_path: Path, **connectors: object) -> list[chart.Object]:
    """The chart's objects for the scene; the source's address is in a file, as a mounted Secret has it."""
    (tmp_path / "dsn").write_text(scene.server.dsn)
    values = {
        "settings": {
            "prefix": scene.prefix,
            "tables": [f"{scene.database}.*"],
            "kafka": {"bootstrap.servers": scene.kafka},
            "source": {"dsn_file": str(tmp_path / "dsn")},
        },
        "capture": {"settings": {"capture": {"start": scene.settings["MEEPO2_CAPTURE_START"]}}},
        "connectors": connectors,
    }
    said = chart.template(yaml.safe_dump(values))
    assert said.code == 0, said.err
    return chart.objects(said.out)


def test_a_rollout_of_the_capture_neither_loses_nor_repeats_a_change(
    there: Scene, tmp_path: Path, start: Start
) -> None:
    """Each deployment would tear a hole, or write rows twice, if two pods wrote at once or none knew where to go on."""
    objects = rendered(there, tmp_path)
    (pod,) = chart.pods(objects)
    (deployment,) = chart.of_kind("Deployment", objects).values()
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}

    old = [start(pod)]
    until(lambda: old[0].is_ready("running"), "the first pod captures")
    old.append(start(pod))
    until(lambda: old[1].is_ready("standby"), "the second pod stands by")
    number = iter(range(100))
    for one in old:  # a new pod is ready, then an old one is ended, until none is left
        new = start(pod)
        there.run(f"INSERT INTO test VALUES ({next(number)})")
        until(lambda new=new: new.is_ready("standby") or new.is_ready("running"), "the new pod is ready")
        there.run(f"INSERT INTO test VALUES ({next(number)})")
        assert one.process.stop().code == 0
        there.run(f"INSERT INTO test VALUES ({next(number)})")

    count = next(number)
    assert there.wait_for(count) == [("write", (key,)) for key in range(count)]


def test_pods_answer_the_probes_that_they_are_given_and_the_test_of_the_chart(
    there: Scene, tmp_path: Path, start: Start, redis_url: str
) -> None:
    """A probe that no pod can pass keeps a release from ever being ready; one that each passes sees nothing."""
    own = {"event_store": {"url": redis_url, "namespace": there.prefix}}
    objects = rendered(there, tmp_path, **{"event-store": {"settings": own}})
    deployments = chart.of_kind("Deployment", objects)
    running = {pod.name: start(pod) for pod in chart.pods(objects)}
    assert set(running) == set(deployments)
    assert len(running) == 2
    for name, one in running.items():
        (container,) = deployments[name]["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            until(lambda one=one, path=path: one.ask(path)[0] == 200, f"{name} answers {path}")
        assert "meepo2_cdc_" in one.ask("/metrics")[1]

    ready = chart.of_kind("Pod", objects)["shop-meepo2-cdc-test-ready"]["spec"]["containers"][0]
    addresses = [f"http://127.0.0.1:{one.port}/readyz" for one in running.values()]
    assert len(ready["args"]) == 1 + len(addresses)
    subprocess.run([sys.executable, *ready["command"][1:], ready["args"][0], *addresses], check=True)
    for one in running.values():
        assert one.process.stop().code == 0
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([sys.executable, *ready["command"][1:], ready["args"][0], addresses[0]], check=True)


def test_the_check_of_the_chart_passes_where_the_capture_would(there: Scene, tmp_path: Path) -> None:
    """A test that fails on a good installation is soon not run any more."""
    objects = rendered(there, tmp_path)
    (capture,) = chart.pods(objects)
    check = chart.of_kind("Pod", objects)["shop-meepo2-cdc-test-check"]["spec"]["containers"][0]
    (tmp_path / "settings.toml").write_text(capture.settings)
    variables = {one["name"]: one["value"] for one in check["env"]} | {"MEEPO2_CONFIG": str(tmp_path / "settings.toml")}
    outcome = Running(check["args"], variables).end()
    assert outcome.code == 0, outcome.out + outcome.err
