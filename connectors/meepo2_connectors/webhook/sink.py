"""
Posts the changes of a batch, one request after the other, and reads the answers.

    2xx                                       told
    408, 425, 429, 5xx, no answer             the endpoint is away or busy: later, not before Retry-After
    3xx, 401, 403-407, 410, 415               a person must mend address or credentials: later, nothing is set aside
    any other 4xx                             refused; of several events the guilty ones are found, and set aside
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Rejected, TryAgain
from meepo2_connectors.webhook import events
from meepo2_connectors.webhook.settings import Settings

_BUSY = {408, 425, 429}
_ABOUT_THE_ENDPOINT = {401, 403, 404, 405, 406, 407, 410, 415}
_QUOTED = 200  # characters of an answer


class WebhookSink:
    """One client for all threads; per key there is never more than one request under way."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix
        self._url = settings.url.get_secret_value()
        parts = urlsplit(self._url)
        self._host = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._batched = settings.format == "batched"
        self._told = _Told()

    def open(self) -> None:
        own = self._settings
        self._client = httpx.Client(
            timeout=own.timeout_seconds,
            follow_redirects=False,
            verify=_tls(own),
            headers={
                "User-Agent": "meepo2-cdc",
                **{name: value.get_secret_value() for name, value in own.headers.items()},
                "Content-Type": events.BATCHED if self._batched else events.STRUCTURED,
            },
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        try:
            self._client.head(self._url)  # whatever the answer, somebody is there
        except httpx.TransportError as error:
            self._client.close()
            raise self._away(error) from error

    def apply(self, batch: Sequence[TableAction]) -> None:
        left = self._told.left_of(batch)
        size = self._settings.events_per_request if self._batched else 1
        refused: list[tuple[str, TableAction]] = []
        for at in range(0, len(left), size):
            refused += self._deliver(left[at : at + size])
        if refused:
            why = refused[0][0]
            raise Rejected(why, [record for reason, record in refused if reason == why])
        self._told.forget()

    def close(self) -> None:
        self._client.close()

    def _deliver(self, records: Sequence[TableAction]) -> list[tuple[str, TableAction]]:
        """What was refused, with the reason; the rest is told.  Of a refused request each half is tried by itself."""
        why = self._post(records)
        if not why:
            self._told.add(records)
            return []
        if len(records) == 1:
            return [(why, records[0])]
        middle = len(records) // 2
        return self._deliver(records[:middle]) + self._deliver(records[middle:])

    def _post(self, records: Sequence[TableAction]) -> str:
        """Why the events were refused, "" when they were taken; raises TryAgain."""
        body = (events.batched if self._batched else events.structured)(records, self._prefix)
        try:
            answer = self._client.post(self._url, content=body, headers=self._signature(body))
        except httpx.TransportError as error:
            raise TryAgain(f"{self._host} did not answer: {_text(error)}") from error
        if answer.is_success:
            return ""
        status = f"{self._host} answered {answer.status_code} {answer.reason_phrase}".rstrip()
        if answer.is_server_error or answer.status_code in _BUSY:
            raise TryAgain(status, after_seconds=self._retry_after(answer))
        if answer.is_redirect or answer.is_informational or answer.status_code in _ABOUT_THE_ENDPOINT:
            hint = "redirects are not followed, set" if answer.is_redirect else "check"
            raise TryAgain(f"{status}: {hint} webhook.url, and the credentials in webhook.headers and webhook.secret")
        return f"{status}: {_excerpt(answer)}"

    def _signature(self, body: bytes) -> dict[str, str]:
        secret = self._settings.secret
        if secret is None:
            return {}
        return {events.SIGNATURE: events.signature(secret.get_secret_value().encode(), body, int(time.time()))}

    def _retry_after(self, answer: httpx.Response) -> float | None:
        seconds = _seconds(answer.headers.get("Retry-After", ""))
        return None if seconds is None else min(max(0.0, seconds), self._settings.retry_after_max_seconds)

    def _away(self, error: httpx.TransportError) -> Exception:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return ConfigError(
                f"the certificate of {self._host} is not trusted: {error}",
                fix="Give the authority that signed it as webhook.tls_ca.",
            )
        return TryAgain(f"{self._host} did not answer: {_text(error)}")


class _Told(threading.local):
    """
    What this thread has told of a batch that is not done: it comes again as a whole, the same records.

    A batch of another thread, or one after a restart, is told from its beginning.
    """

    def __init__(self) -> None:
        self._records: dict[int, TableAction] = {}

    def left_of(self, batch: Sequence[TableAction]) -> list[TableAction]:
        self._records = {id(one): one for one in batch if id(one) in self._records}
        return [one for one in batch if id(one) not in self._records]

    def add(self, records: Sequence[TableAction]) -> None:
        self._records.update((id(one), one) for one in records)

    def forget(self) -> None:
        self._records = {}


def _tls(own: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=own.tls_ca)
        if own.tls_cert is not None:
            context.load_cert_chain(own.tls_cert, own.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"a file of webhook.tls_ca, tls_cert or tls_key cannot be used: {error}") from error
    return context


def _seconds(text: str) -> float | None:
    """Of Retry-After: seconds, or a date (RFC 9110, section 10.2.3)."""
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _excerpt(answer: httpx.Response) -> str:
    text = " ".join(answer.text.split())
    return "".join(one if one.isprintable() else "?" for one in text[:_QUOTED])
