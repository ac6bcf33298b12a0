"""Traces: one per job, from the request that asks for it through the slot to the engine.

Spans are made with OpenTelemetry's API, which does nothing until `tracing` finds a collector in the
standard `OTEL_*` variables. A job carries its place in its trace from process to process as a W3C
`traceparent`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

#: what a collector that does not answer may cost a process that ends
FLUSH_SECONDS = 2.0
_PROTOCOL = "http/protobuf"
_FORMAT = TraceContextTextMapPropagator()


@contextmanager
def tracing(process: str, **facts: str) -> Iterator[None]:
    """Send the spans of this process to a collector while the block runs, if one is configured.

    A collector that is away costs the spans, and at the end of the block up to two seconds.

    Args:
        process: the name of the service, unless the `OTEL_*` variables give one.
        facts: further attributes of all its spans, e.g. the checkpoint.
    """
    provider = _provider({"service.name": process, "process.pid": os.getpid(), **facts})
    if provider is None:
        yield
        return
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # the SDK's own way out waits as long as the exporter retries
        flush = threading.Thread(target=provider.shutdown, name="flush-traces", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)


def current_traceparent() -> str:
    """Return the place of the current span for another process; empty where nothing is traced."""
    carrier: dict[str, str] = {}
    _FORMAT.inject(carrier)
    return carrier.get("traceparent", "")


def parent_context(traceparent: str) -> Context:
    """Return a context for children of another process's span; if empty, for a new trace."""
    return _FORMAT.extract({"traceparent": traceparent}, Context())


def _provider(attributes: dict[str, str | int]) -> TracerProvider | None:
    if not _is_wanted():
        return None
    try:
        protocol = _variable("PROTOCOL") or _PROTOCOL
        if protocol != _PROTOCOL:
            raise ValueError(f"OTLP protocol {protocol!r} is not offered, {_PROTOCOL!r} is")
        return _exporting(attributes)
    except ImportError as error:
        log.warning("no traces: %s; the extra `otel` brings what they need", error)
    except ValueError as error:  # jobs matter more than their traces
        log.warning("no traces: %s", error)
    return None


def _exporting(attributes: dict[str, str | int]) -> TracerProvider:
    # imported only where spans are sent: the SDK is an optional extra
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(attributes).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _is_wanted() -> bool:
    is_off = (
        os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none"
    )
    return not is_off and bool(_variable("ENDPOINT"))


def _variable(name: str) -> str:
    """Return a variable of the exporter: the one for traces alone goes before that for all."""
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        if value := os.environ.get(prefix + name, "").strip():
            return value
    return ""
