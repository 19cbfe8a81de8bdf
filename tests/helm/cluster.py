"""
A real API server is shown every object that the chart renders: `python -m tests.helm.cluster`, or `make kubernetes`.

It takes each as a dry run with strict validation: defaults, validation and admission are done, nothing is kept.  It is
built from its Go modules together with the etcd that it needs, which takes about ten minutes once; so `make test`
holds objects against the published schemas only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import urllib3

from tests.helm import chart, operators
from tests.services import golang, running
from tests.services.running import Unavailable

TOKEN = "of-a-cluster-that-lives-for-a-minute"  # noqa: S105
START_SECONDS = 120
PATHS = {
    "Namespace": "api/v1/namespaces",
    "PriorityClass": "apis/scheduling.k8s.io/v1/priorityclasses",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Pod": "api/v1/namespaces/{}/pods",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Service": "api/v1/namespaces/{}/services",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
FIRST = (
    # It refuses pods that may more than they need, and warns of Deployments that would make such.
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "data", "labels": RESTRICTED}},
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "streaming"}, "value": 1000},
)
"""What is there before the release is."""
BROKEN = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "data"}, "dataa": {}}


class Cluster:
    """The API server, spoken to over HTTP."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._session.verify = False  # its certificate was made a moment ago, by itself
        self._session.trust_env = False  # a bundle that a variable names would be verified against all the same

    def why_silent(self) -> str:
        """Ask whether it is ready; "" when it is."""
        try:
            answer = self._session.get(f"{self._address}/readyz", timeout=5)
        except requests.RequestException as error:
            return str(error)
        return "" if answer.ok else answer.text[-300:]

    def refused(self, one: chart.Object, dry: bool = True) -> str:
        """Why the object is not taken; "" when it is."""
        kind, namespace = one["kind"], one["metadata"].get("namespace", "")
        path = PATHS[kind].format(namespace)
        asked = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry else {})}
        answer = self._session.post(f"{self._address}/{path}", json=one, params=asked, timeout=30)
        warning = answer.headers.get("Warning", "")
        return warning if answer.ok else answer.json().get("message", answer.text)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """An API server with an etcd behind it, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="meepo2-cdc-cluster-") as name:
        place = Path(name)
        (place / "etcd").mkdir()
        (place / "api").mkdir()
        client, peer, api = running.ports(place, 3)
        try:
            running.spawn(place / "etcd", running.Command(_etcd(place / "etcd", client, peer)))
            running.spawn(place / "api", running.Command(_api(place / "api", client, api)))
            found = Cluster(f"https://127.0.0.1:{api}")
            alive = lambda: running.pid_of(place / "api") is not None  # noqa: E731
            if why := running.poll(found.why_silent, START_SECONDS, alive):
                raise Unavailable(f"the API server is not ready ({why})", (place / "api" / "log").read_text())
            yield found
        finally:
            running.stop(place / "api")
            running.stop(place / "etcd")


def _etcd(place: Path, client: int, peer: int) -> list[str]:
    own, others = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        str(golang.etcd()), f"--data-dir={place}/data",
        f"--listen-client-urls={own}", f"--advertise-client-urls={own}", f"--listen-peer-urls={others}",
        f"--initial-advertise-peer-urls={others}", f"--initial-cluster=default={others}",
        "--unsafe-no-fsync", "--log-level=error",
    ]  # fmt: skip


def _api(place: Path, etcd: int, port: int) -> list[str]:
    (place / "tokens").write_text(f"{TOKEN},tester,tester,system:masters\n")
    key = place / "service-account.key"
    running.run(running.Command(["openssl", "genrsa", "-out", str(key), "2048"]))
    return [
        str(golang.kube_apiserver()), f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={port}",
        "--bind-address=127.0.0.1", f"--cert-dir={place}/certificates", f"--token-auth-file={place}/tokens",
        "--service-account-issuer=https://cluster.local", f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}", "--service-cluster-ip-range=10.0.0.0/24",
        # without controllers nobody makes the service accounts that this would wait for
        "--disable-admission-plugins=ServiceAccount", "--authorization-mode=RBAC", "--v=0",
    ]  # fmt: skip


def complaints(found: Cluster) -> Iterator[str]:
    """What the server says of the objects of all values that are tried."""
    yield from filter(None, (found.refused(one, dry=False) for one in FIRST))
    for name in chart.VALUES:
        for one in chart.objects(chart.text(name, golang.KUBERNETES_VERSION)):
            if one["kind"] not in operators.MODELS and (why := found.refused(one)):
                yield f"{name}: {one['kind']} {one['metadata']['name']}: {why}"
    if not found.refused(BROKEN):
        yield "an object with an unknown field was taken, so nothing was validated"


def main() -> int:
    try:
        with cluster() as found:
            said = list(complaints(found))
    except (Unavailable, subprocess.SubprocessError) as failure:
        print(failure, getattr(failure, "log", "")[-2000:], file=sys.stderr)
        return 1
    print("\n".join(said) or f"Kubernetes {golang.KUBERNETES_VERSION} takes every object of {', '.join(chart.VALUES)}")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
