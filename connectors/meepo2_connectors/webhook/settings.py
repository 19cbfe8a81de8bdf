"""
The settings of the connector `webhook`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from meepo2_cdc.replay.sink import ConnectorSettings

_OURS = {"content-type", "content-length", "host", "meepo2-signature", "transfer-encoding"}


class Settings(ConnectorSettings):
    """Where changes are posted, and how."""

    url: SecretStr
    """Address of the endpoint, https:// or http://. Secret, since a path or a query may hold a token; messages name its
    scheme, host and port only."""
    secret: SecretStr | None = None
    """Key with which requests are signed (HMAC-SHA256, header Meepo2-Signature); not signed unless given. Secret."""
    headers: dict[str, SecretStr] = Field(default={})
    """Further headers, such as Authorization. In a variable, or in a file that headers_file names, a JSON object.
    Secret."""
    format: Literal["batched", "structured"] = "batched"
    """CloudEvents content mode: batched, a JSON array of events in a request; structured, one event in a request."""
    events_per_request: int = Field(default=100, ge=1)
    """Most events in a request of the batched format."""
    timeout_seconds: float = Field(default=10, gt=0, allow_inf_nan=False)
    """How long connecting, sending and the wait for an answer may take, each."""
    retry_after_max_seconds: float = Field(default=300, ge=0, allow_inf_nan=False)
    """Longest wait that an endpoint can ask for by Retry-After."""
    tls_ca: Path | None = None
    """PEM file of the authorities that may have signed the endpoint's certificate; the system's unless given. The
    certificate is always checked."""
    tls_cert: Path | None = None
    """PEM file of a client certificate, given together with tls_key."""
    tls_key: Path | None = None
    """PEM file of the client certificate's key."""

    @field_validator("url")
    @classmethod
    def _http(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if not _is_http(text) or not text.isprintable() or " " in text:
            raise ValueError("expected an address such as https://host/path")
        return url

    @field_validator("secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value():
            raise ValueError("expected a key that is not empty")
        return secret

    @field_validator("headers", mode="before")
    @classmethod
    def _from_json(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except ValueError:
            raise ValueError('expected a JSON object such as {"Authorization": "Bearer ..."}') from None

    @field_validator("headers")
    @classmethod
    def _well_formed(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or name.lower() in _OURS:
                raise ValueError(f"{name!r} is no header that can be set")
            if not re.fullmatch(r"[\x20-\x7e]*", value.get_secret_value()):
                raise ValueError(f"the value of {name} may have printable ASCII characters only")
        return headers

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("webhook.tls_cert and webhook.tls_key are given together or not at all")
        return self


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        return False
