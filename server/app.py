"""The FastAPI application: routes, error answers and the connections behind them.

It holds no state of its own; any replica answers for any job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from contract.tracing import tracing
from server.batches.driver import driving
from server.error_handlers import install_error_handlers
from server.middleware import BodyLimit, RequestBoundary
from server.routes import (
    batches,
    captions,
    chat,
    files,
    health,
    live,
    models,
    ollama,
    queue,
    search,
    sync,
    uploads,
    usage,
    videos,
    webhooks,
)
from server.routes.page import install_page
from server.services import Services
from server.settings import ServerSettings
from server.telemetry import TELEMETRY

_DESCRIPTION = """
A prompt becomes a video and its caption; a video becomes a caption.

Jobs are asynchronous: create one, then poll it or follow its events. Errors are
`{"error": {"message", "type", "param", "code"}}`; what a client can fix is answered with 400.
"""


#: the first route that fits has the request: fixed paths before those with an id in their place
_ROUTERS = (
    models.router,
    sync.router,
    videos.router,
    captions.router,
    live.router,
    chat.router,
    files.router,
    uploads.router,
    batches.router,
    webhooks.router,
    usage.router,
    queue.router,
    search.router,
    ollama.router,
    health.router,
    queue.metrics_router,
)


def create_app(settings: ServerSettings) -> FastAPI:
    """Build the application.

    Raises:
        ValueError: if the settings name no Redis, or a storage URL that is not understood.
    """
    services = Services.connect(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # not around the whole process: uvicorn ends it by the signal that told it to stop
        with tracing("univigu-api"), driving(services):
            async with services.ends.listening():
                yield
        services.close()

    app = FastAPI(
        title="Uni-ViGU",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        telemetry=TELEMETRY,
        routes=[route for router in _ROUTERS for route in router.routes],
    )
    app.state.services = services
    install_error_handlers(app)
    # the last one added is the outermost
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(RequestBoundary, count=services.metrics.count)
    install_page(app)
    return app
