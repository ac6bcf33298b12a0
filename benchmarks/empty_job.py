"""The job of the stock worker, in a module of its own because rq imports it by name."""


def nothing() -> None:
    """Do what an instant engine does."""
