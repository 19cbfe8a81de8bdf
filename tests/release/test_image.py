"""
The image, built without Docker: the Dockerfile's own steps, in a directory of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from meepo2_cdc.config import CONNECTORS
from tests.release import dockerfile

PROJECT = tomllib.loads((dockerfile.REPOSITORY / "pyproject.toml").read_text())["project"]
NOBODY = 10001


@dataclass(frozen=True, slots=True)
class Image:
    """The last stage, as a directory."""

    root: Path
    stage: dockerfile.Stage

    @property
    def python(self) -> Path:
        return self.root / "opt/meepo2-cdc/bin/python"

    def run(self, command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
        """As a container runs it: by its user where this process may be another, and with nothing else of ours."""
        environment = {**dockerfile.environment_of(self.stage, self.root), **(variables or {})}
        words = [dockerfile.below(self.root, word) for word in command]
        program = shutil.which(words[0], path=environment["PATH"]) or words[0]
        whose = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(
            [program, *words[1:]], env=environment, cwd=self.root, capture_output=True, text=True, timeout=60, **whose
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once, where another user can read it."""
    root = Path(tempfile.mkdtemp(prefix="meepo2-cdc-image-"))
    root.chmod(0o755)
    try:
        (root / "bin").mkdir()
        (root / "bin" / "python").symlink_to(_python())
        environment = {**os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
        environment.pop("PYTHONPATH", None)
        *before, last = dockerfile.stages()
        for stage in before:
            dockerfile.build(stage, root, environment)
        dockerfile.build(last, root, environment)
        (root / "tmp").mkdir(exist_ok=True)
        yield Image(root, last)
    finally:
        shutil.rmtree(root)


def _python() -> Path:
    """An interpreter with venv and pip that the image's user can reach: ours, or the system's."""
    tried = [Path(sys.executable).resolve(), *(Path(f"/usr/bin/python3.{minor}") for minor in (14, 13, 12, 11))]
    whose = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    for one in tried:
        try:
            asked = subprocess.run([one, "-c", "import venv, ensurepip, pip"], cwd="/", capture_output=True, **whose)
        except OSError:
            continue
        if asked.returncode == 0:
            return one
    pytest.fail(
        "no python from 3.11 on, with venv and pip, that another user can run: install python3-pip and python3-venv"
    )


def test_the_image_runs_every_command_as_a_user_without_rights(image: Image) -> None:
    """An image that needs root, or to write where it lies, starts nowhere that is kept tidy."""
    assert image.stage.last("USER") == f"{NOBODY}:{NOBODY}"
    compiled = {
        path.name.partition(".")[0] for path in image.root.glob("opt/meepo2-cdc/lib/**/meepo2_cdc/capture/**/*.pyc")
    }
    assert {"service", "encoder"} <= compiled  # the file system is read-only when it runs
    command = json.loads(image.stage.last("ENTRYPOINT"))
    assert image.run([*command, "--version"]).split()[-1] == PROJECT["version"]
    assert "capture" in image.run([*command, *json.loads(image.stage.last("CMD"))])
    for name in ("table_action", "checkpoint"):
        assert '"namespace"' in image.run([*command, "schemas", "show", name])


def test_every_connector_of_the_image_has_what_it_needs(image: Image) -> None:
    """A driver that is missing is seen on the day the connector is deployed."""
    script = (
        "import json; from meepo2_cdc.replay.connectors import installed;"
        "print(json.dumps({one.name: one.lacks for one in installed()}))"
    )
    found = json.loads(image.run(["python", "-c", script]))
    assert found == dict.fromkeys((one.name for one in entry_points(group=CONNECTORS)), None)


def test_the_bill_of_materials_names_what_is_installed(image: Image) -> None:
    """When a library turns out to have a hole, it is asked here whether it is in the image."""
    bill = json.loads((image.root / "opt/meepo2-cdc/sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    named = {one["name"].lower(): one["version"] for one in bill["components"]}
    script = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = dict(word.lower().split("==") for word in image.run(["python", "-c", script]).split())
    assert named == installed
    assert {"meepo2-cdc", "confluent-kafka", "psycopg", "elasticsearch"} <= named.keys()
    assert "pip" not in named


def test_the_image_says_what_it_is() -> None:
    """A registry shows these; a version that was forgotten sends people after the wrong changes."""
    last = dockerfile.stages()[-1]
    arguments = dict(step.rest.split("=") for step in last.steps if step.name == "ARG")
    chart = yaml.safe_load((dockerfile.REPOSITORY / "helm/meepo2-cdc/Chart.yaml").read_text())
    assert arguments["VERSION"] == PROJECT["version"] == chart["appVersion"]
    labels = last.pairs("LABEL")
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_the_builder_is_sent_nothing_that_the_image_does_not_need() -> None:
    """A virtual environment, or a settings file with a password, has been found in many an image."""
    through = {path.name for path in dockerfile.REPOSITORY.iterdir() if dockerfile.lets_through(path.name)}
    copied = {
        word.split("/")[0]
        for stage in dockerfile.stages()
        for step in stage.steps
        if step.name == "COPY" and not step.rest.startswith("--from=")
        for word in step.rest.split()[:-1]
    }
    assert through == copied


def test_the_health_check_tells_a_service_that_lives_from_one_that_does_not(image: Image) -> None:
    """A check that always passes restarts nothing; one that never does restarts everything."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Service(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    check = json.loads(image.stage.last("HEALTHCHECK").partition("CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        port = {"MEEPO2_RUN_METRICS_PORT": str(server.server_port)}
        closed = {"MEEPO2_CAPTURE_METRICS_PORT": "1", "MEEPO2_SESSION_METRICS_PORT": "1"}
        image.run(check, {**closed, **port})
        Service.status = 503
        with pytest.raises(AssertionError, match="503"):
            image.run(check, {**closed, **port})
        server.shutdown()
