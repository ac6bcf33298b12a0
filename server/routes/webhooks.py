"""`/v1/webhook_endpoints` as OpenAI has them, and the log of what was delivered."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import Depends, Query
from fastapi.concurrency import run_in_threadpool

from contract.delivery_records import Delivery
from contract.webhooks import OLD_SECRET_SECONDS, Endpoint
from server import routing, webhooks
from server.auth import Account
from server.bodies import InjectedJsonBody, checked
from server.errors import InvalidRequest, Unavailable
from server.openapi import json_schema
from server.services import InjectedServices

router = routing.keyed_router("/v1", "webhooks")

#: a courier gives up a try sooner
_SAMPLE_SECONDS = 20

After = Annotated[str | None, Query(description="Start behind this id")]
Limit = Annotated[int, Query(ge=1, le=100, description="Items per page")]


def _endpoint(services: InjectedServices, account: Account, webhook_endpoint_id: str) -> Endpoint:
    return webhooks.find_endpoint(services, account, webhook_endpoint_id)


def _registered(services: InjectedServices, account: Account, webhook_endpoint_id: str) -> Endpoint:
    return webhooks.find_registered(services, account, webhook_endpoint_id)


def _delivery(services: InjectedServices, account: Account, webhook_delivery_id: str) -> Delivery:
    return webhooks.find_delivery(services, account, webhook_delivery_id)


FoundEndpoint = Annotated[Endpoint, Depends(_endpoint)]
FoundRegistered = Annotated[Endpoint, Depends(_registered)]
FoundDelivery = Annotated[Delivery, Depends(_delivery)]


@router.get("/webhook_event_types")
def list_event_types() -> webhooks.EventTypeList:
    """List what an endpoint can be told of."""
    return webhooks.EventTypeList()


@router.post("/webhook_endpoints", openapi_extra=json_schema(webhooks.EndpointCreate))
def create_endpoint(
    services: InjectedServices, account: Account, body: InjectedJsonBody
) -> webhooks.WebhookEndpointWithSecret:
    """Register an endpoint; its secret is shown in this answer only."""
    asked = checked(webhooks.EndpointCreate, body)
    url = webhooks.checked_url(services, asked.url, "url")
    try:
        made = services.endpoints.create(account, asked.name, url, asked.event_types)
    except ValueError as error:
        raise InvalidRequest(str(error), code="too_many_endpoints") from error
    return webhooks.secret_view(made)


@router.get("/webhook_endpoints")
def list_endpoints(
    services: InjectedServices, account: Account, after: After = None, limit: Limit = 20
) -> webhooks.EndpointPage:
    """List endpoints, newest first."""
    found = services.endpoints.all(account)
    ids = [endpoint.id for endpoint in found]
    if after is not None and after not in ids:
        raise InvalidRequest(f"after: webhook endpoint {after!r} does not exist", param="after")
    start = ids.index(after) + 1 if after is not None else 0
    data = [webhooks.endpoint_view(each) for each in found[start : start + limit]]
    return webhooks.EndpointPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(found) > start + limit,
    )


@router.get("/webhook_endpoints/{webhook_endpoint_id}")
def retrieve_endpoint(endpoint: FoundEndpoint) -> webhooks.WebhookEndpoint:
    """Return an endpoint; `default` stands for the `webhook_url` of single jobs."""
    return webhooks.endpoint_view(endpoint)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}", openapi_extra=json_schema(webhooks.EndpointUpdate)
)
def update_endpoint(
    services: InjectedServices, endpoint: FoundRegistered, body: InjectedJsonBody
) -> webhooks.WebhookEndpoint:
    """Change an endpoint; what is on its way goes to the new URL."""
    fields = checked(webhooks.EndpointUpdate, body).model_dump(exclude_none=True)
    webhooks.checked_url(services, fields.get("url"), "url")
    if fields:
        endpoint = services.endpoints.change(endpoint, **fields)
    return webhooks.endpoint_view(endpoint)


@router.delete("/webhook_endpoints/{webhook_endpoint_id}")
def delete_endpoint(
    services: InjectedServices, endpoint: FoundRegistered
) -> webhooks.WebhookEndpointDeleted:
    """Forget an endpoint; nothing more is sent to it."""
    services.endpoints.delete(endpoint)
    return webhooks.WebhookEndpointDeleted(id=endpoint.id)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/rotate_secret",
    openapi_extra=json_schema(webhooks.SecretRotate, required=False),
)
def rotate_secret(
    services: InjectedServices, endpoint: FoundEndpoint, body: InjectedJsonBody
) -> webhooks.WebhookEndpointWithSecret:
    """Replace the secret of an endpoint, or that of `default`; it is shown in this answer only."""
    asked = checked(webhooks.SecretRotate, body)
    seconds = OLD_SECRET_SECONDS if asked.keep_old_secret_active_for_24_hours else 0
    return webhooks.secret_view(services.endpoints.rotate(endpoint, seconds))


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    openapi_extra=json_schema(webhooks.SampleCreate),
)
async def test_endpoint(
    services: InjectedServices, account: Account, endpoint: FoundRegistered, body: InjectedJsonBody
) -> webhooks.WebhookTestResult:
    """Send a sample event, once, and say how the endpoint answered."""
    event_type = checked(webhooks.SampleCreate, body).event_type
    sent = await run_in_threadpool(services.deliveries.sample, endpoint, event_type)
    deadline = time.monotonic() + _SAMPLE_SECONDS
    while not sent.tries and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        sent = await run_in_threadpool(webhooks.find_delivery, services, account, sent.id)
    if not sent.tries:
        raise Unavailable("no janitor is there to deliver webhooks", code="not_ready")
    (done,) = sent.tries
    if done.status_code is None:
        raise InvalidRequest(f"{endpoint.url}: {done.error}", param="url", code="unreachable")
    return webhooks.WebhookTestResult(
        webhook_endpoint_id=endpoint.id, event_type=event_type, status_code=done.status_code
    )


@router.get("/webhook_deliveries")
def list_deliveries(
    services: InjectedServices, account: Account, after: After = None, limit: Limit = 20
) -> webhooks.DeliveryPage:
    """List deliveries of the last week with their tries, newest first."""
    if after is not None:
        webhooks.find_delivery(services, account, after)
    found = services.deliveries.page(account, limit + 1, after)
    data = [webhooks.delivery_view(each) for each in found[:limit]]
    return webhooks.DeliveryPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(found) > limit,
    )


@router.get("/webhook_deliveries/{webhook_delivery_id}")
def retrieve_delivery(delivery: FoundDelivery) -> webhooks.WebhookDelivery:
    """Return a delivery with its tries."""
    return webhooks.delivery_view(delivery)


@router.post("/webhook_deliveries/{webhook_delivery_id}/redeliver")
def redeliver(services: InjectedServices, delivery: FoundDelivery) -> webhooks.WebhookDelivery:
    """Send an event again: the same `webhook-id` and body, a fresh timestamp."""
    return webhooks.delivery_view(services.deliveries.redeliver(delivery))
