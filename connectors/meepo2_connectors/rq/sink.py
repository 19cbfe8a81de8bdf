"""
Enqueues the jobs of a batch in one Redis transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.rq.jobs import Call, calls
from meepo2_connectors.rq.settings import Settings

log = structlog.get_logger()

_LATER = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.MasterDownError,
)
_LATER_WORDS = ("MISCONF", "LOADING", "BUSY", "NOREPLICAS", "UNKILLABLE")
_DENIED = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)
_GIVEN_UP = (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)


class RqSink:
    """
    Jobs as JSON, which no worker can be made to run code by.

    A batch that comes again has the same job ids, so what is in Redis of it is not enqueued twice; jobs that rq has
    given up are enqueued anew.
    """

    def __init__(self, settings: Settings, prefix: str) -> None:
        self._settings = settings
        self._prefix = prefix

    def open(self) -> None:
        own = self._settings
        try:
            # a command that redis-py itself sends again after a timeout may have been executed the first time
            self._redis = redis.Redis.from_url(
                own.url.get_secret_value(), retry=Retry(NoBackoff(), 0),
                socket_timeout=own.timeout_seconds, socket_connect_timeout=own.timeout_seconds,
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(
                "rq.url is no address of a Redis server", fix="Expected redis://user:password@host:6379/0 ."
            ) from error
        with _translating():
            self._redis.ping()
        self._queue = Queue(own.queue, connection=self._redis, serializer=JSONSerializer)

    def apply(self, batch: Sequence[TableAction]) -> None:
        with _translating():
            new = self._new(calls(batch, self._prefix))
            if new:
                self._queue.enqueue_many([self._job_data(call) for call in new])

    def close(self) -> None:
        self._redis.close()

    def _new(self, wanted: Sequence[Call]) -> list[Call]:
        """Those of which there is no job yet."""
        jobs = Job.fetch_many([one.id for one in wanted], connection=self._redis, serializer=JSONSerializer)
        new = []
        for call, job in zip(wanted, jobs, strict=True):
            if job is not None and job.get_status(refresh=False) in _GIVEN_UP:
                job.delete()
                job = None
            if job is None:
                new.append(call)
        if len(new) < len(wanted):
            log.info("Jobs were in the queue already", queue=self._settings.queue, jobs=len(wanted) - len(new))
        return new

    def _job_data(self, call: Call):  # type: ignore[no-untyped-def]  # a named tuple that rq does not export
        own = self._settings
        return Queue.prepare_data(
            own.function,
            args=[call.table, call.action, call.pks],
            job_id=call.id,
            timeout=own.job_timeout_seconds,
            result_ttl=own.result_ttl_seconds,
            failure_ttl=own.failure_ttl_seconds,
            # rq's own description has the arguments, and its workers log it
            description=f"{own.function}: {call.action} of {len(call.pks)} in {call.table}",
        )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except _DENIED as error:
        raise ConfigError(f"Redis refuses access: {error}", fix="Check user and password in rq.url.") from error
    except _LATER as error:
        raise TryAgain(f"Redis cannot be asked now: {error}") from error
    except redis.ResponseError as error:
        if str(error).startswith(_LATER_WORDS):
            raise TryAgain(f"Redis cannot be asked now: {error}") from error
        raise Error(f"Redis answered with an error: {error}") from error
