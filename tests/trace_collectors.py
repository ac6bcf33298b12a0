"""Collectors of traces for tests: a real OTLP/HTTP server that decodes what processes send."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from worker_house import until

CONTENT_TYPE = "application/x-protobuf"


@dataclass(frozen=True)
class Received:
    """A span as it was sent; ids are in hexadecimal, times in nanoseconds."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    is_error: bool
    attributes: dict[str, Any]
    service: str
    resource: dict[str, Any]


@dataclass
class Collector:
    """What was sent to a collector so far."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment that makes a process send its spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}


@dataclass(frozen=True)
class Trace:
    """What a collector has of one trace, begun by a caller with a span of its own."""

    collector: Collector
    trace_id: str
    caller_id: str

    @property
    def headers(self) -> dict[str, str]:
        """What the caller says of it."""
        return {"traceparent": f"00-{self.trace_id}-{self.caller_id}-01"}

    @property
    def spans(self) -> list[Received]:
        """What has come so far."""
        return [span for span in [*self.collector.spans] if span.trace_id == self.trace_id]

    def named(self, name: str, count: int = 1) -> list[Received]:
        """Return the spans of a name in the order of their starts, once there are so many."""

        def found() -> list[Received]:
            spans = [span for span in self.spans if span.name == name]
            return spans if len(spans) >= count else []

        return sorted(until(found), key=lambda span: span.start)

    def children(self, parent: Received) -> set[str]:
        """Return the names of the spans right below one."""
        return {span.name for span in self.spans if span.parent_id == parent.span_id}


def _values(pairs: Any) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        found[pair.key] = value
    return found


def _decode(body: bytes) -> Iterator[Received]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(group.resource.attributes)
        for span in (span for scope in group.scope_spans for span in scope.spans):
            yield Received(
                name=span.name,
                kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                attributes=_values(span.attributes),
                service=resource["service.name"],
                resource=resource,
            )


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_known = (self.path, self.headers["content-type"]) == ("/v1/traces", CONTENT_TYPE)
            if is_known:
                collector.spans.extend(_decode(body))
            self.send_response(200 if is_known else 404)
            self.send_header("content-type", CONTENT_TYPE)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a port of its own."""
    made = Collector()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(made)) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of the test's own."""
    with collecting() as made:
        yield made


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the worker's spans become in this process, which nothing else traces."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for module in ("worker.spans", "worker.engine.spans"):
        monkeypatch.setattr(f"{module}._tracer", provider.get_tracer(module))
    return memory
