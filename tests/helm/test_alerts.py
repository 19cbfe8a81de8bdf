"""
Alerts and dashboard ask for what the program tells, in words that Prometheus understands.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import yaml
from prometheus_client.metrics import MetricWrapperBase

from meepo2_cdc.observe import metrics
from tests.helm import chart, dashboard

DEPLOYING = Path(__file__).parents[2] / "docs" / "deploying.md"
OF_KUBERNETES = {
    "kube_pod_container_status_last_terminated_exitcode": {"namespace", "pod", "container"},
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
}
OF_SCRAPES = {"namespace", "pod", "service"}
GRAFANAS = {"$__rate_interval": "5m", "$__range": "1h"}


def told() -> dict[str, set[str]]:
    """Every series of the program, with its labels."""
    found: dict[str, set[str]] = dict(OF_KUBERNETES)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            labels = {*metric._labelnames, *OF_SCRAPES}
            name, kind = metric._name, metric._type
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
            found |= {f"{name}{ending}": labels | ({"le"} if kind == "histogram" else set()) for ending in endings}
    return found


def rules() -> list[dict[str, object]]:
    """The alerts of all values that are tried, and those that one of them leaves out."""
    values = yaml.safe_load(chart.VALUES["production"].read_text())
    values["prometheusRule"].pop("disabled")
    rendered = chart.objects(chart.template(yaml.safe_dump(values)).out)
    (rule,) = chart.of_kind("PrometheusRule", rendered).values()
    return list(rule["spec"]["groups"][0]["rules"])


def asked() -> list[str]:
    shown = [*dashboard.expressions()]
    for word, duration in GRAFANAS.items():
        shown = [expression.replace(word, duration) for expression in shown]
    return [*(str(one["expr"]) for one in rules()), *shown]


def test_expressions_are_those_that_prometheus_reads_about_series_that_there_are() -> None:
    """An alert on a series that is called otherwise never fires, and looks like health."""
    series = told()
    for expression in asked():
        promql_parser.parse(expression)
        named = re.findall(r"(?:meepo2_cdc|kube)_\w+", re.sub(r'"[^"]*"', "", expression))
        assert named, expression
        assert [name for name in named if name not in series] == [], expression
        groups = re.findall(r"(?:by|on) \(([^)]*)\)", expression)
        grouped = {label.strip() for group in groups for label in group.split(",")}
        assert grouped <= set().union(*(series[name] for name in named)), expression


def test_every_alert_has_a_heading_where_its_link_leads() -> None:
    """Whoever is woken by an alert should not have to search for what it means."""
    headings = re.findall(r"^### (Meepo2Cdc\w+)$", DEPLOYING.read_text(), re.MULTILINE)
    assert headings == [one["alert"] for one in rules()]


def test_an_alert_can_be_left_out_by_name() -> None:
    """An alert that rings for nothing is switched off as a whole unless it can be alone."""
    (rule,) = chart.of_kind("PrometheusRule", chart.objects(chart.text("production"))).values()
    left = {one["alert"] for one in rule["spec"]["groups"][0]["rules"]}
    assert {str(one["alert"]) for one in rules()} - left == {"Meepo2CdcSeveralActiveCaptures"}


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    """Panels that lie on each other, or share a number, are drawn as one."""
    panels = json.loads(dashboard.text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < dashboard.WIDTH
