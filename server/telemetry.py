"""What FastAPI traces by itself once `contract.tracing` has found a collector: every request."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig

_PROBES = {"/healthz", "/readyz", "/metrics"}


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] in _PROBES


#: one span per request, by its route; nothing of what is within, no metrics and no logs
TELEMETRY = TelemetryConfig(
    operation_spans=False, metrics=False, logs=False, auto_configure=False, exclude=_is_probe
)
