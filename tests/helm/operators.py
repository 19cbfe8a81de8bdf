"""
The objects of operators: of their fields those that the chart uses, each as the operator's own definition has it.

Strict, since a cluster drops an unknown field of these in silence.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Strict(BaseModel):
    """Nothing but its fields, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)


class Object(Strict):
    """What every object has."""

    api_version: str
    kind: str
    metadata: dict[str, Any]


class Store(Strict):
    name: str
    kind: Literal["SecretStore", "ClusterSecretStore"] = "SecretStore"


class Remote(Strict):
    key: str
    property: str = ""
    version: str = ""


class Datum(Strict):
    secret_key: str
    remote_ref: Remote


class Name(Strict):
    name: str


class SecretSpec(Strict):
    refresh_interval: str
    secret_store_ref: Store
    target: Name
    data: list[Datum]


class ExternalSecret(Object):
    """external-secrets.io/v1."""

    spec: SecretSpec


class Rule(Strict):
    alert: str
    expr: str
    for_: str = Field(alias="for")
    labels: dict[str, str]
    annotations: dict[str, str]


class RuleGroup(Strict):
    name: str
    rules: list[Rule]


class RuleSpec(Strict):
    groups: list[RuleGroup]


class PrometheusRule(Object):
    """monitoring.coreos.com/v1."""

    spec: RuleSpec


class Relabelling(Strict):
    action: str
    regex: str = ""
    source_labels: list[str] = []
    target_label: str = ""
    replacement: str = ""


class Endpoint(Strict):
    port: str
    path: str
    interval: str
    scrape_timeout: str
    metric_relabelings: list[Relabelling] = []


class Namespaces(Strict):
    match_names: list[str]


class Selector(Strict):
    match_labels: dict[str, str]


class MonitorSpec(Strict):
    selector: Selector
    namespace_selector: Namespaces
    endpoints: list[Endpoint]


class ServiceMonitor(Object):
    """monitoring.coreos.com/v1."""

    spec: MonitorSpec


class Trigger(Strict):
    type: Literal["kafka"]
    metadata: dict[str, str]
    authentication_ref: Name | None = None


class ScaledSpec(Strict):
    scale_target_ref: Name
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    advanced: dict[Literal["horizontalPodAutoscalerConfig"], dict[Literal["behavior"], dict[str, Any]]]
    triggers: list[Trigger]


class ScaledObject(Object):
    """keda.sh/v1alpha1."""

    spec: ScaledSpec


MODELS: dict[str, type[Object]] = {
    one.__name__: one for one in (ExternalSecret, PrometheusRule, ScaledObject, ServiceMonitor)
}
