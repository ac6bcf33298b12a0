"""Serves the application with uvicorn until it is told to stop."""

from __future__ import annotations

import gc
import logging

import uvicorn

from server.app import create_app
from server.settings import ServerSettings


def run(settings: ServerSettings) -> None:
    """Listen on the settings' host and port; returns after SIGTERM or SIGINT.

    Raises:
        ValueError: if the settings cannot be served.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    app = create_app(settings)
    # what lives as long as the process need not be looked through again: that took 50 ms at a time,
    # in which every client waited
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        timeout_graceful_shutdown=settings.graceful_shutdown_seconds,
    )
