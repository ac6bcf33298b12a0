"""Brings webhooks to their receivers: many at a time, each with a limit on its time.

Couriers run beside janitors, any number of them; none of them ever holds up a job. A receiver that
fails is tried again later, and a courier that dies leaves its deliveries to the next one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import redis

from contract.deliveries import DeliveryStore
from contract.delivery_records import Delivery, Try
from contract.webhooks import Endpoint, EndpointStore, check_webhook_url

log = logging.getLogger(__name__)

#: deliveries on their way at the same time
_IN_FLIGHT = 64
#: of them for one account, whose receivers may all be slow
_IN_FLIGHT_PER_ACCOUNT = 16
#: from looking up the name to the status of the answer
_SECONDS = 15.0
_LEASE_SECONDS = 20.0
_POLL_SECONDS = 0.5
#: at the end, for what is on its way
_GRACE_SECONDS = 2.0


class _EndpointDeleted(Exception):
    """There is nobody to send to any more."""


class Courier:
    """Delivers what is due.

    Args:
        connection: Redis of its own.
        allow_private: whether receivers may have private addresses.
        lease_seconds: after which a delivery whose courier died is sent again.
    """

    def __init__(
        self,
        connection: redis.Redis,
        allow_private: bool,
        lease_seconds: float = _LEASE_SECONDS,
    ) -> None:
        self._deliveries, self._endpoints = DeliveryStore(connection), EndpointStore(connection)
        self._allow_private, self._lease_seconds = allow_private, lease_seconds
        self._under_way: Counter[str] = Counter()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; a lost Redis is waited for."""
        while not stop.is_set():
            try:
                asyncio.run(self._run(stop))
            except redis.exceptions.RedisError as error:
                log.error("no Redis: %s", error)
            except Exception:  # what was under way comes back after its lease
                log.exception("the courier stumbled and starts again")
            stop.wait(_POLL_SECONDS)

    async def _run(self, stop: threading.Event) -> None:
        under_way: set[asyncio.Task[None]] = set()
        self._under_way.clear()
        # threads look up names, and may have to wait for that
        pool = ThreadPoolExecutor(_IN_FLIGHT)
        asyncio.get_running_loop().set_default_executor(pool)
        async with httpx2.AsyncClient(transport=_transport(), timeout=_SECONDS) as client:
            while not stop.is_set():
                due = await asyncio.to_thread(self._next, _IN_FLIGHT - len(under_way))
                self._under_way.update(each.account for each in due)
                under_way |= {asyncio.create_task(self._deliver(client, each)) for each in due}
                under_way = await _wait(under_way, 0 if due else _POLL_SECONDS)
                if not (due or under_way):
                    await asyncio.sleep(_POLL_SECONDS)
            for task in await _wait(under_way, _GRACE_SECONDS, asyncio.ALL_COMPLETED):
                task.cancel()

    def _next(self, room: int) -> list[Delivery]:
        self._deliveries.plan()
        if room == 0:
            return []
        return self._deliveries.claim(
            room,
            self._lease_seconds,
            limit_per_account=_IN_FLIGHT_PER_ACCOUNT,
            under_way=self._under_way,
        )

    async def _deliver(self, client: httpx2.AsyncClient, delivery: Delivery) -> None:
        try:
            await self._try(client, delivery)
        finally:
            self._under_way[delivery.account] -= 1

    async def _try(self, client: httpx2.AsyncClient, delivery: Delivery) -> None:
        at, began = time.time(), time.monotonic()
        status_code, error, is_last = None, None, False
        try:
            async with asyncio.timeout(_SECONDS):
                status_code = await self._send(client, delivery, int(at))
            if not 200 <= status_code < 300:
                error = f"the receiver answered {status_code}"
        except _EndpointDeleted as failure:
            error, is_last = str(failure), True
        except TimeoutError:
            error = f"no answer within {_SECONDS:g} seconds"
        except (ValueError, httpx2.HTTPError, httpx2.InvalidURL) as failure:
            error = str(failure) or type(failure).__name__
        done = Try(at=at, seconds=time.monotonic() - began, status_code=status_code, error=error)
        after = await asyncio.to_thread(self._deliveries.record, delivery, done, is_last)
        log.info("webhook %s: %s%s", delivery.id, after.status, f", {error}" if error else "")

    async def _send(self, client: httpx2.AsyncClient, delivery: Delivery, now: int) -> int:
        endpoint = await asyncio.to_thread(self._endpoint, delivery)
        url = endpoint.url or delivery.url
        addresses = await asyncio.to_thread(check_webhook_url, url, self._allow_private)
        headers = {
            "content-type": "application/json",
            "user-agent": "univigu-webhooks/1",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": endpoint.signature(delivery.event_id, now, delivery.payload),
        }
        for address in addresses[:-1]:
            with suppress(httpx2.ConnectError):
                return await _post(client, url, address, delivery.payload, headers)
        return await _post(client, url, addresses[-1], delivery.payload, headers)

    def _endpoint(self, delivery: Delivery) -> Endpoint:
        endpoint = self._endpoints.get(delivery.account, delivery.endpoint_id)
        if endpoint is None:
            raise _EndpointDeleted(f"the endpoint {delivery.endpoint_id} was deleted")
        return endpoint


def _transport() -> httpx2.AsyncHTTPTransport:
    # its own one, without the proxies of the environment: they would resolve the name again; and
    # no connection is kept, since the next name at the same address may be somebody else's
    return httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_keepalive_connections=0))


async def _post(
    client: httpx2.AsyncClient, url: str, address: str, payload: str, headers: dict[str, str]
) -> int:
    """Post to the address that was checked: the name may resolve to another one by now."""
    named = httpx2.URL(url)
    request = client.build_request(
        "POST",
        named.copy_with(host=address),
        content=payload,
        headers=headers | {"host": named.netloc.decode()},
        extensions={"sni_hostname": named.raw_host.decode()},
    )
    response = await client.send(request, stream=True)
    await response.aclose()  # what it says beyond its status is not read
    return response.status_code


async def _wait(
    tasks: set[asyncio.Task[None]],
    seconds: float,
    until: str = asyncio.FIRST_COMPLETED,
) -> set[asyncio.Task[None]]:
    """Wait for tasks, at most so long; return those that have not ended."""
    if not tasks:
        return tasks
    done, left = await asyncio.wait(tasks, timeout=seconds, return_when=until)
    for task in done:
        if error := task.exception():
            log.error("a webhook comes back after its lease: %r", error)
    return left
