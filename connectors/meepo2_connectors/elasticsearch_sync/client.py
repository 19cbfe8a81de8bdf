"""
Elasticsearch, as it is reached, and what its failures mean.

Away, overloaded or without a master is TryAgain: the cluster as a whole takes nothing now, and will again.  An account
that may not is for a person (ConfigError).  Knows nothing of records.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elastic_transport import ConnectionError as Unreachable
from elastic_transport import ConnectionTimeout, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError

from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.replay.sink import TryAgain

if TYPE_CHECKING:
    from meepo2_connectors.elasticsearch_sync.settings import Settings

NAME = "Elasticsearch"
NOT_NOW = frozenset((408, 429, 502, 503, 504))
"""Status of answers that say nothing against what was asked."""
PRIVILEGES = (
    "Needed on the indexes: create_index, write, read, view_index_metadata, maintenance; for the switch of aliases "
    "manage."
)
_CONNECTIONS = 64
"""Kept open to each node, at most: one for each thread."""


def connect(own: Settings) -> Elasticsearch:
    """A client that has not connected yet.  It tries nothing twice: how long is waited is up to who applies records."""
    account: dict[str, Any] = {}
    if own.api_key is not None:
        account["api_key"] = own.api_key.get_secret_value()
    if own.username is not None and own.password is not None:
        account["basic_auth"] = (own.username, own.password.get_secret_value())
    if own.ca_file is not None:
        account["ca_certs"] = str(own.ca_file)
    return Elasticsearch(
        own.urls,
        **account,
        http_compress=own.compress,
        request_timeout=own.timeout_seconds,
        max_retries=0,
        retry_on_timeout=False,
        connections_per_node=_CONNECTIONS,
    )


def greet(client: Elasticsearch) -> None:
    """
    Connects, and raises ConfigError where what answers is not what is needed.

    The cluster's health is asked for, which needs a master.  An account that may not ask is known at least, and one
    that is not is told apart by its status 401.
    """
    with translating():
        status = client.options(ignore_status=(403, 404, 410)).cluster.health(timeout="1s").meta.status
    if status == 404:
        raise ConfigError(f"what answers at the address is no {NAME}: it knows of no cluster's health")


@contextmanager
def translating() -> Iterator[None]:
    """Errors of the client, as what happens next."""
    try:
        yield
    except ApiError as error:
        raise _of_answer(error) from error
    except TransportError as error:
        raise _of_connection(error) from error


def detail(error: ApiError) -> str:
    """The reason as Elasticsearch gives it, or at least its kind."""
    body: Any = error.body
    reason = body.get("error") if isinstance(body, dict) else None
    return str(reason.get("reason") or error.message) if isinstance(reason, dict) else str(error.message)[:200]


def refusal(why: str) -> ConfigError:
    """Who is not allowed to do what the connector does."""
    return ConfigError(f"{NAME} refuses the account: {why}", fix=PRIVILEGES)


def _of_answer(error: ApiError) -> Exception:
    status = error.meta.status
    if isinstance(error, UnsupportedProductError):
        return ConfigError(f"what answers at the address is no {NAME}: {error.message}")
    if status in (401, 403) and error.message != "cluster_block_exception":
        return refusal(detail(error))
    if status in NOT_NOW or error.message in ("cluster_block_exception", "search_phase_execution_exception"):
        return TryAgain(f"{NAME}: {detail(error)}")
    if status == 406 or "compatible-with" in detail(error):
        return ConfigError(f"{NAME} is of another version than 8 or 9: {detail(error)}")
    return Error(f"{NAME} answered what was not expected, with status {status}: {detail(error)}")


def _of_connection(error: TransportError) -> Exception:
    text = str(error)
    if not error.errors and str(error.message) != text:  # the client tells the reason here only
        text = f"{text}: {error.message}"
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
        return ConfigError(f"the certificate of {NAME} is not trusted: {text}", fix="Set [elasticsearch_sync] ca_file.")
    if isinstance(error, Unreachable | ConnectionTimeout):
        return TryAgain(f"{NAME}: {text}")
    return Error(f"{NAME} answered what was not expected: {text}")
