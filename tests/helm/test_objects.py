"""
Every object that the chart renders is one that a cluster takes.
"""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.helm import chart, operators

KUBERNETES = ("1.25.0", "1.31.0", "1.37.0")
"""The oldest that the chart is for, one between, the newest whose schemas there are."""


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", chart.VALUES)
def test_each_object_is_one_that_kubernetes_takes(name: str, version: str) -> None:
    """An object that the API server refuses leaves an upgrade half done."""
    for one in chart.objects(chart.text(name, version)):
        if one["kind"] not in operators.MODELS:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("name", chart.VALUES)
def test_each_object_of_an_operator_is_one_that_it_takes(name: str) -> None:
    """Unknown fields of these are dropped in silence: an alert without its condition never fires."""
    for one in chart.objects(chart.text(name)):
        if model := operators.MODELS.get(one["kind"]):
            model.model_validate(one)


def test_the_values_that_are_tried_render_every_kind_of_object() -> None:
    """An object that no values render is one that no test has seen."""
    kinds = {one["kind"] for name in chart.VALUES for one in chart.objects(chart.text(name))}
    assert kinds == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service",
        "ServiceAccount", *operators.MODELS,
    }  # fmt: skip


@pytest.mark.parametrize("name", chart.VALUES)
def test_pods_have_no_rights_that_they_do_not_need(name: str) -> None:
    """A hole in a connector should not be one in the cluster."""
    rendered = chart.objects(chart.text(name))
    specs = [one["spec"] for one in chart.of_kind("Pod", rendered).values()]
    specs += [one["spec"]["template"]["spec"] for one in chart.of_kind("Deployment", rendered).values()]
    for spec in specs:
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("name", chart.VALUES)
def test_what_selects_pods_selects_those_of_one_deployment(name: str) -> None:
    """A Service or a budget that selects nothing is found out on the day it is needed."""
    rendered = chart.objects(chart.text(name))
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in chart.of_kind("Deployment", rendered).values()]
    pods += [one["metadata"]["labels"] for one in chart.of_kind("Pod", rendered).values()]
    for one in rendered:
        if selector := _selector(one):
            matching = [labels for labels in pods if selector.items() <= labels.items()]
            assert len(matching) == 1, one["metadata"]["name"]


def _selector(one: chart.Object) -> dict[str, str]:
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        return dict(spec["selector"])
    if one["kind"] == "NetworkPolicy" and spec["policyTypes"] == ["Ingress"]:
        return dict(spec["podSelector"]["matchLabels"])
    return dict(spec["selector"]["matchLabels"]) if one["kind"] in {"Deployment", "PodDisruptionBudget"} else {}
