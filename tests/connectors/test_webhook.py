"""
The connector `webhook`: CloudEvents to a real HTTP server.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from meepo2_cdc.records import Action
from meepo2_cdc.replay.sink import Rejected, TryAgain
from meepo2_cdc.testing import Changes, TellingContract
from meepo2_connectors.webhook.sink import WebhookSink
from tests.connectors import telling
from tests.connectors.http_endpoint import Answer, Endpoint, Request, always, opened, sink_for, started, told_keys

SECRET = "a long random secret"  # noqa: S105 - of these tests


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    with started(tmp_path) as one:
        yield one


class Listener:
    """The target of the contract."""

    def __init__(self, endpoint: Endpoint, form: str) -> None:
        self._endpoint = endpoint
        self._form = form
        self.stop, self.start = endpoint.stop, endpoint.start

    def sink(self) -> WebhookSink:
        return sink_for(self._endpoint, format=self._form, timeout_seconds=2)

    def told(self, count: int) -> list[tuple[Action, Any]]:
        assert len(self._endpoint.told) >= count
        return [telling.change_of(event["data"]) for event in self._endpoint.told]


class TestContract(TellingContract):
    @pytest.fixture(params=["batched", "structured"])
    def target(self, endpoint: Endpoint, request: pytest.FixtureRequest) -> Listener:
        return Listener(endpoint, request.param)


# -- what is sent


def test_an_event_has_what_cloudevents_demands(endpoint: Endpoint) -> None:
    """The README shows one, word for word: receivers are written by it."""
    changes = Changes()
    for _ in range(7):
        changes.write(0)
    with opened(endpoint) as sink:
        sink.apply([changes.write(7)])
    (request,) = endpoint.requests
    assert request.headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    (shown,) = telling.shown("webhook", "json")
    assert request.events == [json.loads(shown)]


def test_structured_is_one_event_a_request(endpoint: Endpoint) -> None:
    """Many receivers of CloudEvents know no batches."""
    with opened(endpoint, format="structured") as sink:
        sink.apply([Changes().write(n) for n in range(3)])
    assert [json.loads(one.body)["data"]["pk"] for one in endpoint.requests] == [[0], [1], [2]]
    assert {one.headers["Content-Type"] for one in endpoint.requests} == {
        "application/cloudevents+json; charset=utf-8"
    }  # fmt: skip


def test_a_request_has_no_more_events_than_set(endpoint: Endpoint) -> None:
    """Receivers have limits."""
    with opened(endpoint, events_per_request=100) as sink:
        sink.apply([Changes().write(n) for n in range(250)])
    assert [len(one.events) for one in endpoint.requests] == [100, 100, 50]
    assert told_keys(endpoint) == list(range(250))


def test_hostile_names_stay_names(endpoint: Endpoint) -> None:
    """A name that ends the JSON, or the path of the subject, would make another event."""
    name = 'a"},\n%/b☃'
    with opened(endpoint) as sink:
        sink.apply([Changes(name, name).write("x,/y", 2)])
    (event,) = endpoint.told
    assert (event["data"]["schema"], event["data"]["table"]) == (name, name)
    quoted = "a%22%7D%2C%0A%25%2Fb%E2%98%83"
    assert event["subject"] == f"{quoted}.{quoted}/x%2C%2Fy,2"


def test_headers_are_sent_and_kept_secret(endpoint: Endpoint) -> None:
    """Tokens are in them."""
    with opened(endpoint, headers={"Authorization": SecretStr("Bearer s3cret-token")}) as sink:
        sink.apply([Changes().write(1)])
        assert "s3cret-token" not in repr(sink._settings)
    assert endpoint.requests[0].headers["Authorization"] == "Bearer s3cret-token"
    assert "Meepo2-Signature" not in endpoint.requests[0].headers


# -- the signature


@pytest.fixture
def verify() -> Callable[..., bool]:
    """The function that the README gives to whoever writes an endpoint."""
    names: dict[str, Any] = {"__name__": "endpoint"}
    (program,) = telling.shown("webhook", "python")
    exec(program, names)  # noqa: S102 - our own README
    found: Callable[..., bool] = names["verify"]
    return found


def test_the_signature_is_verified_as_the_readme_does(endpoint: Endpoint, verify: Callable[..., bool]) -> None:
    """A receiver that cannot tell our requests from anybody's must not act on them."""
    with opened(endpoint, secret=SecretStr(SECRET)) as sink:
        sink.apply([Changes().write("☃")])
    (request,) = endpoint.requests
    signature = request.headers["Meepo2-Signature"]
    assert verify(signature, request.body, SECRET.encode())
    assert not verify(signature, request.body + b" ", SECRET.encode())
    assert not verify(signature, request.body, b"another secret")
    assert not verify("", request.body, SECRET.encode())
    later = int(time.time()) + 1
    assert not verify(f"t={later},{signature.split(',')[1]}", request.body, SECRET.encode()), "the time is signed too"


def test_an_old_request_is_not_taken_again(endpoint: Endpoint, verify: Callable[..., bool]) -> None:
    """Who overheard a request could send it again for ever."""
    from meepo2_connectors.webhook.events import signature

    now = int(time.time())
    assert verify(signature(b"k", b"body", now - 200), b"body", b"k")
    assert not verify(signature(b"k", b"body", now - 400), b"body", b"k")


# -- answers


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_busy_endpoint_is_waited_for(endpoint: Endpoint, status: int) -> None:
    """Its state says nothing of the events; as dead letters they would be lost to it."""
    endpoint.answers = always(Answer(status))
    with opened(endpoint) as sink, pytest.raises(TryAgain, match=f"answered {status}") as caught:
        sink.apply([Changes().write(1)])
    assert caught.value.records == ()


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ("7", 7, 7),
        (timedelta(seconds=200), 1, 200),
        (timedelta(days=-1), 0, 0),
        ("86400", 300, 300),
        ("soon", None, None),
    ],
)
def test_retry_after_is_honoured_up_to_a_limit(
    endpoint: Endpoint, given: str | timedelta, least: float | None, most: float | None
) -> None:
    """Asking again too early keeps an endpoint down; a day's wait is an outage that nobody ordered."""
    asked = format_datetime(datetime.now(UTC) + given, usegmt=True) if isinstance(given, timedelta) else given
    endpoint.answers = always(Answer(429, (("Retry-After", asked),)))
    with opened(endpoint) as sink, pytest.raises(TryAgain) as caught:
        sink.apply([Changes().write(1)])
    seconds = caught.value.after_seconds
    assert seconds == least if least is None or most is None or seconds is None else least <= seconds <= most


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 410, 415])
def test_a_wrong_address_or_password_sets_no_event_aside(endpoint: Endpoint, status: int) -> None:
    """A password that expired at night would otherwise put every change of the night among the dead letters."""
    endpoint.answers = always(Answer(status, (("Location", "http://127.0.0.1:9/elsewhere"),)))
    with opened(endpoint) as sink, pytest.raises(TryAgain, match=r"webhook\.url") as caught:
        sink.apply([Changes().write(1)])
    assert caught.value.records == ()
    assert len(endpoint.requests) == 1


def test_a_redirect_is_not_followed(endpoint: Endpoint) -> None:
    """Whoever can answer once could have all changes, and our token, sent elsewhere."""
    endpoint.answers = lambda request: (
        Answer(307, (("Location", f"{endpoint.url}/elsewhere"),)) if request.path == "/changes" else Answer()
    )
    with opened(endpoint) as sink, pytest.raises(TryAgain, match="redirects are not followed"):
        sink.apply([Changes().write(1)])
    assert [one.path for one in endpoint.requests] == ["/changes"]


def test_an_endpoint_that_does_not_answer_in_time_is_tried_again(endpoint: Endpoint) -> None:
    """It may have taken the events, so they come again rather than never."""
    release = threading.Event()

    def silent(_: Request) -> Answer:
        release.wait(30)
        return Answer()

    endpoint.answers = silent
    try:
        with opened(endpoint, timeout_seconds=0.2) as sink, pytest.raises(TryAgain, match="did not answer"):
            sink.apply([Changes().write(1)])
    finally:
        release.set()


def refusing(*keys: int, status: int = 422) -> Callable[[Request], Answer]:
    """Refuses a request that has one of the keys in it."""

    def answer(request: Request) -> Answer:
        guilty = any(event["data"]["pk"][0] in keys for event in request.events)
        return Answer(status, body=b'{"error": "no such\n\x1b[31mtenant"}') if guilty else Answer()

    return answer


def test_of_a_refused_request_only_the_guilty_events_are_set_aside(endpoint: Endpoint) -> None:
    """One event that a receiver cannot take must not hold up, nor take with it, a hundred others."""
    endpoint.answers = refusing(7, 40)
    changes = Changes()
    aside = telling.replayed(sink_for(endpoint), [changes.write(n) for n in range(50)])
    assert sorted(told_keys(endpoint)) == [n for n in range(50) if n not in (7, 40)], "and no other is told twice"
    assert len(aside.letters) == 2
    assert {why for _, why, _ in aside.letters} == {
        f'http://127.0.0.1:{endpoint.port} answered 422 Unprocessable Entity: {{"error": "no such ?[31mtenant"}}'
    }


def test_what_follows_a_refused_event_of_its_key_is_told(endpoint: Endpoint) -> None:
    """The dead letter is one change, not the key for ever."""
    changes = Changes()
    refused = changes.write(1)
    endpoint.answers = lambda request: Answer(
        400 if any(event["data"]["seq"] == refused.seq for event in request.events) else 204
    )
    with opened(endpoint) as sink:
        batch = [refused, changes.update(1), changes.delete(1)]
        with pytest.raises(Rejected) as caught:
            sink.apply(batch)
        assert list(caught.value.records) == [refused]
        sink.apply(batch[1:])
    assert [event["data"]["action"] for event in endpoint.told] == ["update", "delete"]


def test_too_large_a_request_is_halved(endpoint: Endpoint) -> None:
    """413 concerns the request, not its events."""
    endpoint.answers = lambda request: Answer(413 if len(request.events) > 30 else 204)
    with opened(endpoint) as sink:
        sink.apply([Changes().write(n) for n in range(100)])
    assert told_keys(endpoint) == list(range(100))


def test_of_a_batch_that_failed_in_the_middle_the_rest_comes_again(endpoint: Endpoint) -> None:
    """An endpoint that is slow would otherwise be sent the same beginning for ever, and never come to the end."""
    changes = Changes()
    batch = [changes.write(n) for n in range(30)]
    with opened(endpoint, events_per_request=10) as sink:
        endpoint.answers = lambda request: Answer(503 if request.events[0]["data"]["pk"] == [10] else 204)
        with pytest.raises(TryAgain):
            sink.apply(batch)
        endpoint.answers = always(Answer())
        sink.apply(batch)
        assert told_keys(endpoint) == list(range(30))
        sink.apply(batch)
    assert told_keys(endpoint) == [*range(30), *range(30)], "what was acknowledged and comes again is told again"
