"""Webhook endpoints and deliveries as clients read and write them: OpenAI's objects, our log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contract.addresses import NoAnswer
from contract.delivery_records import Delivery, Try
from contract.webhooks import DEFAULT_ID, EVENT_TYPES, Endpoint, check_webhook_url
from server.errors import InvalidRequest, NotFound, Unavailable
from server.services import Services


def _known(event_type: str) -> str:
    if event_type not in EVENT_TYPES:
        raise ValueError(f"allowed: {', '.join(EVENT_TYPES)}")
    return event_type


EventType = Annotated[str, AfterValidator(_known)]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=len(EVENT_TYPES))]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Url = Annotated[str, Field(min_length=1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EndpointCreate(_Body):
    """A new endpoint."""

    name: Name = Field(description="For people")
    url: Url = Field(description="Receives a POST for every event; `https`, a public address")
    event_types: EventTypes = Field(description="What to be told of")


class EndpointUpdate(_Body):
    """What is to change of an endpoint."""

    name: Name | None = Field(default=None, description="For people")
    url: Url | None = Field(default=None, description="As for a new one")
    event_types: EventTypes | None = Field(default=None, description="All of them, not more ones")


class SecretRotate(_Body):
    """How the secret is replaced."""

    keep_old_secret_active_for_24_hours: bool = Field(
        default=False, description="Messages are signed with both for a day"
    )


class SampleCreate(_Body):
    """Which event to send as a sample."""

    event_type: EventType = Field(description="What to pretend")


class WebhookEndpoint(BaseModel):
    """Where an account is told of events."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint whose secret is new; it is shown this once."""

    signing_secret: str


class WebhookEndpointDeleted(BaseModel):
    """What is left of a deleted endpoint."""

    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookTestResult(BaseModel):
    """How an endpoint answered a sample."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True


class WebhookDelivery(BaseModel):
    """One event on its way to one endpoint."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    created_at: int
    webhook_endpoint_id: str
    url: str
    event_id: str = Field(description="The same in every repeat: `webhook-id`")
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    next_try_at: int | None = Field(description="Null once it has ended")
    tries: Sequence[Try] = Field(description="The latest ones, oldest first")


class EndpointPage(BaseModel):
    """One page of endpoints, newest first."""

    object: Literal["list"] = "list"
    data: Sequence[WebhookEndpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeliveryPage(BaseModel):
    """One page of deliveries, newest first."""

    object: Literal["list"] = "list"
    data: Sequence[WebhookDelivery]
    first_id: str | None
    last_id: str | None
    has_more: bool


class EventTypeList(BaseModel):
    """What an endpoint can be told of."""

    object: Literal["list"] = "list"
    data: Sequence[str] = EVENT_TYPES


def checked_url(services: Services, url: str | None, param: str = "webhook_url") -> str:
    """Return a URL that webhooks may go to; empty for none.

    Raises:
        InvalidRequest: if they may not go there.
        Unavailable: if that cannot be looked up now.
    """
    if not url:
        return ""
    try:
        check_webhook_url(url, services.settings.allow_private_urls)
    except NoAnswer as error:
        raise Unavailable(f"{param}: {error}", code="host_not_found_now") from error
    except ValueError as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from error
    return url


def find_endpoint(services: Services, account: str, endpoint_id: str) -> Endpoint:
    """Return an endpoint of an account.

    Raises:
        NotFound: if it has none of this id.
    """
    found = services.endpoints.get(account, endpoint_id)
    if found is None:
        raise NotFound(f"webhook endpoint {endpoint_id!r} does not exist")
    return found


def find_registered(services: Services, account: str, endpoint_id: str) -> Endpoint:
    """Return an endpoint that has a URL of its own.

    Raises:
        NotFound: if there is none of this id.
        InvalidRequest: if it is the one for the `webhook_url` of single jobs.
    """
    if endpoint_id == DEFAULT_ID:
        raise InvalidRequest(f"{DEFAULT_ID!r} has a secret only", param="webhook_endpoint_id")
    return find_endpoint(services, account, endpoint_id)


def find_delivery(services: Services, account: str, delivery_id: str) -> Delivery:
    """Return a delivery of an account.

    Raises:
        NotFound: if it has none of this id, or no longer.
    """
    found = services.deliveries.get(delivery_id)
    if found is None or found.account != account:
        raise NotFound(f"webhook delivery {delivery_id!r} does not exist")
    return found


def endpoint_view(endpoint: Endpoint) -> WebhookEndpoint:
    """Return what a client reads of an endpoint."""
    return WebhookEndpoint(**_fields(endpoint))


def secret_view(endpoint: Endpoint) -> WebhookEndpointWithSecret:
    """Return what a client reads of an endpoint whose secret is new."""
    return WebhookEndpointWithSecret(**_fields(endpoint), signing_secret=endpoint.secret)


def delivery_view(delivery: Delivery) -> WebhookDelivery:
    """Return what a client reads of a delivery."""
    return WebhookDelivery(
        id=delivery.id,
        created_at=int(delivery.created_at),
        webhook_endpoint_id=delivery.endpoint_id,
        url=delivery.url,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        status=delivery.status,
        next_try_at=int(delivery.next_at) if delivery.next_at else None,
        tries=delivery.tries,
    )


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": f"whsec_...{endpoint.secret[-4:]}",
    }
