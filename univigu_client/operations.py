"""What both clients offer: each operation is a flow, which a client runs in its own way."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, overload

from univigu_client import batches, files, jobs, service
from univigu_client.flows import Flow

if TYPE_CHECKING:
    from univigu_client.asynchronous import AsyncClient
    from univigu_client.synchronous import Client

P = ParamSpec("P")
T = TypeVar("T")


class Operation(Generic[P, T]):
    """A method with the parameters of a flow, which returns, or is awaited for, what that does."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        self._flow = flow
        update_wrapper(self, flow)

    @overload
    def __get__(self, client: Client, owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncClient, owner: object
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    def __get__(self, client: Client | AsyncClient | None, owner: object) -> Any:
        """Return the method of a client; of a class, the operation, which takes a client first."""
        return self if client is None else client._bind(self._flow)

    @overload
    def __call__(self, client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def __call__(
        self, client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    def __call__(
        self, client: Client | AsyncClient, /, *args: P.args, **kwargs: P.kwargs
    ) -> T | Coroutine[Any, Any, T]:
        """Do it with a client."""
        return client._bind(self._flow)(*args, **kwargs)


class Operations:
    """What a server can be asked for with one answer."""

    create_video = Operation(jobs.create_video)
    create_caption = Operation(jobs.create_caption)
    wait = Operation(jobs.wait)
    generate = Operation(jobs.generate)
    caption = Operation(jobs.caption)
    retrieve = Operation(jobs.retrieve)
    cancel = Operation(jobs.cancel)
    delete = Operation(jobs.delete)
    download = Operation(jobs.download)

    upload = Operation(files.upload)
    delete_file = Operation(files.delete_file)

    create_batch = Operation(batches.create_batch)
    retrieve_batch = Operation(batches.retrieve_batch)
    wait_batch = Operation(batches.wait_batch)
    cancel_batch = Operation(batches.cancel_batch)
    outcomes = Operation(batches.outcomes)

    search = Operation(service.search)
    checkpoint = Operation(service.checkpoint)
    is_ready = Operation(service.is_ready)
