"""Who may call: a configured key as bearer token, or anybody where no key is configured.

Every key is an account of its own, known by the hash of the key; no key is kept anywhere else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from server.errors import Unauthorized
from server.services import InjectedServices

_bearer = HTTPBearer(
    auto_error=False,
    description="One of the server's API keys; not asked for where none is configured.",
)


def require_key(
    services: InjectedServices,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """Let a request pass if it carries a configured key.

    Returns:
        The account of the key; empty where no key is configured.

    Raises:
        Unauthorized: if keys are configured and the request has none of them.
    """
    keys = services.settings.api_keys
    if not keys:
        return ""
    # headers arrive decoded as Latin-1, whatever the client wrote
    token = given.credentials.encode("latin-1") if given else b""
    # every key is compared, so that the time taken says nothing about which one is close
    matches = [hmac.compare_digest(token, key.get_secret_value().encode()) for key in keys]
    if not any(matches):
        problem = "this API key is not known" if given else "no API key was given"
        raise Unauthorized(
            f"{problem}; send `Authorization: Bearer KEY`", headers={"www-authenticate": "Bearer"}
        )
    return hashlib.sha256(token).hexdigest()[:32]


Account = Annotated[str, Depends(require_key)]
