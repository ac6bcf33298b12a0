"""The jobs of stock workers, in a module of their own because rq imports them by name."""

import time


def nothing() -> None:
    """Do what an instant engine does."""


def echo(text: str, engine_seconds: float) -> str:
    """Do what an engine does that takes so long."""
    time.sleep(engine_seconds)
    return text
