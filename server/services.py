"""What handlers are given: the connections of this process, opened once and closed at shutdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import redis
from fastapi import Depends
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from starlette.requests import HTTPConnection

from contract.artifacts import ArtifactStore
from contract.batches import BatchStore
from contract.deliveries import DeliveryStore
from contract.files import FileStore
from contract.jobs import JobStore
from contract.policy import Policy, read_policy
from contract.requests import Capabilities
from contract.uploads import UploadStore
from contract.webhooks import EndpointStore
from server.ends import Ends
from server.key_ring import KeyRing
from server.loaded import LoadedModel
from server.metrics import Metrics
from server.queue import JobQueue
from server.settings import ServerSettings


@dataclass(frozen=True)
class Services:
    """The job store, the queue and the artifact store of one server process."""

    settings: ServerSettings
    redis: redis.Redis
    key_ring: KeyRing
    model: LoadedModel
    jobs: JobStore
    queue: JobQueue
    artifacts: ArtifactStore
    files: FileStore
    uploads: UploadStore
    batches: BatchStore
    endpoints: EndpointStore
    deliveries: DeliveryStore
    policy: Policy | None
    metrics: Metrics
    ends: Ends

    @classmethod
    def connect(cls, settings: ServerSettings) -> Services:
        """Open what the settings name; Redis itself is contacted by the first request.

        Raises:
            ValueError: if there is no Redis URL, or a URL cannot be understood.
        """
        if settings.redis_url is None:
            raise ValueError(
                "UNIVIGU_REDIS_URL is not set; only `univigu serve` brings its own Redis"
            )
        connection = redis.Redis.from_url(
            settings.redis_url,
            socket_connect_timeout=2,
            socket_timeout=5,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        )
        jobs = JobStore(connection)
        key_ring = KeyRing(connection, settings)
        return cls(
            settings=settings,
            redis=connection,
            key_ring=key_ring,
            model=LoadedModel(connection),
            jobs=jobs,
            queue=JobQueue(
                connection,
                jobs,
                settings.max_queued_jobs,
                lambda account: key_ring.limit(
                    account, "max_live_jobs", settings.max_live_jobs_per_key
                ),
            ),
            artifacts=ArtifactStore(settings.artifacts_url),
            files=FileStore(connection),
            uploads=UploadStore(connection),
            batches=BatchStore(connection),
            endpoints=EndpointStore(connection),
            deliveries=DeliveryStore(connection),
            policy=read_policy(settings.blocked_words_file),
            metrics=Metrics(),
            ends=Ends(settings.redis_url),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.redis.close()

    def capabilities(self) -> Capabilities:
        """Return what the loaded checkpoint can do.

        Raises:
            Unavailable: if no engine has been warm yet.
        """
        return self.model.capabilities()


async def services_of(connection: HTTPConnection) -> Services:
    """Return the connections of the application that a request has come to."""
    services: Services = connection.app.state.services
    return services


InjectedServices = Annotated[Services, Depends(services_of)]
