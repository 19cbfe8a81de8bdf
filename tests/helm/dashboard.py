"""
The Grafana dashboard of the chart, made from a list of panels.

What a panel shows is written once here, in one line; the rest of Grafana's format is the same for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OURS = 'namespace=~"$namespace"'
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture of one question; each query is an expression and what its line is called."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    number: bool = False
    """One large number instead of lines; red where the first threshold is passed."""
    thresholds: tuple[tuple[str, float | None], ...] = (("green", None),)
    about: str = ""


def active(metric: str, of_pods: str) -> tuple[tuple[str, str], ...]:
    """Of instances that capture only: what one that stands by tells of the source means nothing."""
    captures = f"and on (namespace, pod) meepo2_cdc_active{{{OURS}}} == 1"
    return ((f"{of_pods} by (service) ({metric}{{{OURS}}} {captures})", "{{service}}"),)


def rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{OURS}}}[$__rate_interval]))"


def quantiles(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le, {by}) (rate({metric}_bucket{{{OURS}}}[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({q}, {buckets})", f"{{{{{by}}}}} {name}") for q, name in ((0.5, "median"), (0.99, "99 %"))
    )


def each(metric: str, label: str = "pod") -> tuple[tuple[str, str], ...]:
    return ((f"{metric}{{{OURS}}}", f"{{{{{label}}}}}"),)


ROWS: dict[str, tuple[Panel, ...]] = {
    "Capture": (
        Panel(
            "Instances that capture", ((f"sum by (service) (meepo2_cdc_active{{{OURS}}})", "{{service}}"),),
            number=True, thresholds=(("red", None), ("green", 1), ("red", 2)), about="One; the others stand by.",
        ),
        Panel(
            "Connected", active("meepo2_cdc_source_connected", "max"), number=True,
            thresholds=(("red", None), ("green", 1)),
        ),
        Panel(
            "Behind the source", active("meepo2_cdc_source_lag_seconds", "max"), "s",
            number=True, thresholds=(("green", None), ("orange", 10), ("red", 60)),
        ),
        Panel(
            "Log left before our position is purged",
            active("meepo2_cdc_source_retention_left_seconds", "min"), "s",
            number=True, thresholds=(("red", None), ("orange", 5400), ("green", 21600)),
            about="Below zero there is a gap: exit 3.",
        ),
        Panel(
            "Age of the checkpoint",
            active("meepo2_cdc_checkpoint_age_seconds", "min"), "s",
            number=True, about="It grows while the source is idle.",
        ),
        Panel("Records", ((rate("meepo2_cdc_records_total", "service"), "{{service}}"),), "cps", number=True),
    ),
    "What is captured": (
        Panel("Behind the source", active("meepo2_cdc_source_lag_seconds", "max"), "s"),
        Panel("Log still to read", active("meepo2_cdc_source_behind_bytes", "max"), "bytes"),
        Panel("Records by table", ((f"topk(10, {rate('meepo2_cdc_records_total', 'table')})", "{{table}}"),), "cps"),
        Panel("Records by action", ((rate("meepo2_cdc_records_total", "action"), "{{action}}"),), "cps"),
        Panel(
            "Transactions",
            (
                (rate("meepo2_cdc_source_transactions_total", "service"), "of the source"),
                (rate("meepo2_cdc_commits_total", "service"), "of Kafka"),
            ),
            "cps",
        ),
        Panel("Time of a commit", quantiles("meepo2_cdc_commit_seconds", "service"), "s"),
        Panel("Records that wait", each("meepo2_cdc_queue_records")),
        Panel(
            "Passed over",
            (
                (rate("meepo2_cdc_rows_events_skipped_total", "table, reason"), "{{table}}: {{reason}}"),
                (rate("meepo2_cdc_rows_left_out_total", "table, policy"), "{{table}}: too large, {{policy}}"),
                (rate("meepo2_cdc_events_unreadable_total", "event_type"), "unreadable: {{event_type}}"),
            ),
            "cps",
        ),
        Panel(
            "Made anew",
            (
                (f"increase(meepo2_cdc_source_reconnects_total{{{OURS}}}[$__rate_interval])", "{{pod}}: connections"),
                (f"increase(meepo2_cdc_producers_replaced_total{{{OURS}}}[$__rate_interval])", "{{pod}}: producers"),
            ),
        ),
    ),
    "Snapshots": (
        Panel("Tables that wait", active("meepo2_cdc_snapshot_tables_waiting", "max")),
        Panel("Done of the table that is read", active("meepo2_cdc_snapshot_table_done_ratio", "max"), "percentunit"),
        Panel("Existing rows", ((rate("meepo2_cdc_snapshot_rows_total", "service"), "{{service}}"),), "cps"),
        Panel("Time of a chunk", quantiles("meepo2_cdc_snapshot_chunk_seconds", "service"), "s"),
    ),
    "Connectors": (
        Panel("Records to apply", ((f"sum by (service) (meepo2_cdc_consumer_lag_records{{{OURS}}})", "{{service}}"),)),
        Panel("Applied", ((rate("meepo2_cdc_records_applied_total", "connector"), "{{connector}}"),), "cps"),
        Panel("Time of a batch", quantiles("meepo2_cdc_apply_seconds", "connector"), "s"),
        Panel("Tried again", ((rate("meepo2_cdc_apply_retries_total", "connector"), "{{connector}}"),), "cps"),
        Panel(
            "Dead letters",
            ((f"sum by (connector) (increase(meepo2_cdc_dead_letters_total{{{OURS}}}[$__range]))", "{{connector}}"),),
            about="In the time that is shown, up to each moment of it.",
        ),
        Panel("Targets that take records", each("meepo2_cdc_target_ready")),
    ),
}  # fmt: skip


def expressions() -> Iterator[str]:
    for panels in ROWS.values():
        for panel in panels:
            yield from (expression for expression, _ in panel.queries)


def text() -> str:
    return json.dumps(_dashboard(), indent=1) + "\n"


def _dashboard() -> dict[str, Any]:
    return {
        "title": "meepo2-cdc",
        "uid": "meepo2-cdc",
        "tags": ["meepo2-cdc"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _namespace()]},
        "panels": list(_panels()),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _namespace() -> dict[str, Any]:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": 'label_values({__name__=~"meepo2_cdc_.*"}, namespace)',
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in ROWS.items():
        yield {"id": number, "type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}
        number, top, left = number + 1, top + 1, 0
        for panel in panels:
            wide, high = (4, 4) if panel.number else (12, 8)
            if left + wide > WIDTH:
                left, top = 0, top + high
            yield _panel(panel, number, {"x": left, "y": top, "w": wide, "h": high})
            number, left = number + 1, left + wide
        top += high


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"color": color, "value": value} for color, value in panel.thresholds]
    shown: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.number:
        shown = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "id": number,
        "type": "stat" if panel.number else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": shown,
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }
