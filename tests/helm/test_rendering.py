"""
What the chart makes of values: as it was looked at and kept, and never of values that cannot be meant.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.helm import chart

GOLDEN = Path(__file__).parent / "golden"
PAGES = (chart.CHART / "README.md", chart.CHART.parents[1] / "docs" / "deploying.md")
SOME = (chart.VALUES["capture"]).read_text()


def with_values(**changed: object) -> str:
    """The least values, and these."""
    return yaml.safe_dump({**yaml.safe_load(SOME), **changed})


@pytest.mark.parametrize("name", chart.VALUES)
def test_the_chart_has_no_fault_that_helm_sees(name: str) -> None:
    """A chart that Helm warns about is one that the next version of Helm may refuse."""
    said = chart.helm(
        "lint", "--strict", "--kube-version", chart.KUBERNETES, str(chart.CHART), values=chart.VALUES[name].read_text()
    )
    assert said.code == 0, said.out + said.err
    assert "[WARNING]" not in said.out
    assert "Fail:" not in said.err


@pytest.mark.parametrize("name", chart.VALUES)
def test_objects_are_those_that_were_looked_at(name: str) -> None:
    """A changed helper can change every Deployment; MEEPO2_TEST_GOLDEN=write keeps what is rendered now."""
    rendered = _without_dashboard(chart.text(name))
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("MEEPO2_TEST_GOLDEN") == "write":
        golden.write_text(rendered)
    assert rendered == golden.read_text()


def _without_dashboard(text: str) -> str:
    dashboard = (chart.CHART / "files" / "dashboard.json").read_text().strip()
    indented = "\n".join(f"    {line}" for line in dashboard.splitlines())
    return text.replace(indented, "    (files/dashboard.json)")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"capture": {"replica": 3}}, "replica"),
        ({"captur": {}}, "captur"),
        ({"connectors": {"cache": {"conector": "redis_replicator"}}}, "conector"),
        ({"connectors": {"capture": {}}}, "capture"),
        ({"connectors": {"Cache": {}}}, "Cache"),
        ({"defaults": {"ports": [{"name": "http", "port": 1}]}}, "defaults.ports.0.name"),
        ({"defaults": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
        ({"http": {"port": 80}}, "port"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"settings": {"tables": "shop.*"}}, "tables"),
        ({"settings": {"capture": {"metrics_port": 1}}}, "capture"),
        ({"capture": {"secrets": {"source.dsn": {"existingSecret": "cdc-source"}}}}, "key"),
        ({"settings": {}}, "settings.kafka has no bootstrap.servers"),
        ({"capture": {}}, "capture has no source.dsn"),
        ({"externalSecrets": {"secrets": {"cdc-source": {"dsn": {"key": "x"}}}}}, "secretStoreRef"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, object], complaint: str) -> None:
    """Helm drops a misspelt value in silence, and the cluster runs with the default for months."""
    said = chart.template(with_values(**values))
    assert said.code != 0
    assert complaint in said.err


@pytest.mark.parametrize("name", chart.VALUES)
def test_what_helm_says_at_the_end_names_what_was_installed(name: str, tmp_path: Path) -> None:
    """The last thing that is read after an installation should be what to look at first."""
    notes = _notes(chart.VALUES[name].read_text(), tmp_path / "chart")
    assert "helm test shop --namespace data" in notes
    deployments = chart.of_kind("Deployment", chart.objects(chart.text(name)))
    assert [one for one in deployments if f"  {one}  (" not in notes] == []
    watched = "prometheusRule" in chart.VALUES[name].read_text()
    assert ("Nobody is told when something is wrong" in notes) is not watched


def _notes(values: str, copy: Path) -> str:
    """The notes as an object of a copy of the chart: Helm shows them by themselves to a cluster only."""
    shutil.copytree(chart.CHART, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "notes.txt")
    (copy / "templates" / "notes.yaml").write_text(
        "kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get `notes.txt`) . | quote }}\n"
    )
    said = chart.helm("template", "shop", str(copy), "--namespace", "data", values=values)
    assert said.code == 0, said.err
    return str(chart.of_kind("Notes", chart.objects(said.out))["notes"]["text"])


def test_a_release_without_capture_needs_no_source() -> None:
    """Connectors often live in another namespace than the capture, without its credentials."""
    only = {"capture": {"enabled": False}, "connectors": {"statsd": None}}
    rendered = chart.objects(chart.template(with_values(**only)).out)
    assert list(chart.of_kind("Deployment", rendered)) == ["shop-meepo2-cdc-statsd"]


def test_a_change_of_settings_starts_pods_anew_and_nothing_else_does() -> None:
    """Pods read their settings at the start only; without the mark on it a Deployment would keep the old ones."""
    text = chart.VALUES["connectors"].read_text()
    changed = text.replace("workers: 8", "workers: 9")
    before, after = (
        chart.of_kind("Deployment", chart.objects(chart.template(values).out)) for values in (text, changed)
    )
    differing = {name for name in before if before[name]["spec"]["template"] != after[name]["spec"]["template"]}
    assert differing == {"consumers-cache"}


def test_the_read_me_page_and_the_dashboard_are_those_that_would_be_made() -> None:
    """A page of values that do not exist is worse than none."""
    from tests.helm.__main__ import FILES

    assert {path: path.read_text() for path in FILES} == {path: make() for path, make in FILES.items()}


def test_values_that_pages_show_are_values_that_the_chart_takes() -> None:
    """Values on a page are copied first and read afterwards."""
    shown = [block for page in PAGES for block in _blocks(page.read_text()) if re.match(r"(image|settings):\n", block)]
    assert len(shown) == len(PAGES)
    for block in shown:
        said = chart.template(block)
        assert said.code == 0, said.err
        assert chart.of_kind("Deployment", chart.objects(said.out))


def _blocks(text: str) -> list[str]:
    """Indented code, as Markdown has it, also below a list."""
    found = re.findall(r"(?:^ {4,}\S.*\n(?:^ {4,}.*\n)*)", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]
