"""Holds what clients write against the content policy, before anything is stored for it."""

from __future__ import annotations

from contract.policy import judge
from server.errors import InvalidRequest
from server.services import Services


def check_text(services: Services, text: str | None, param: str) -> None:
    """Refuse a prompt or an instruction that the policy does not allow, or cannot judge.

    Raises:
        InvalidRequest: naming the rule, with the code `content_policy_violation`.
    """
    refusal = judge(services.policy, text, param)
    if refusal is not None:
        raise InvalidRequest(refusal.message, param=param, code=refusal.code)
