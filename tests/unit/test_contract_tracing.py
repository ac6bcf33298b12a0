"""Traces cost nothing where none are asked for, and little where nobody takes them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from trace_collectors import Collector

#: what sends spans; redis-py itself imports the SDK's metrics where they are installed
SENDERS = ["opentelemetry.sdk.trace", "opentelemetry.exporter"]
#: makes one span and says what that took
PROGRAM = f"""
import logging, sys, time
from opentelemetry import trace
from contract import tracing
logging.basicConfig(format="%(message)s")
with tracing.tracing("univigu-test", fact="known"):
    with trace.get_tracer("test").start_as_current_span("work"):
        print([name for name in {SENDERS} if name in sys.modules])
        print(tracing.current_traceparent())
    ended = time.monotonic()
print(time.monotonic() - ended)
"""
#: here a busy machine may take its time
PATIENT = "from contract import tracing; tracing.FLUSH_SECONDS = 60\n" + PROGRAM
URL = "http://127.0.0.1:9"


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=own | variables,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("before", "variables"),
    [
        ("import server.run, worker.slot", {}),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_SDK_DISABLED": "True"}),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_TRACES_EXPORTER": "none"}),
    ],
    ids=["unset", "empty", "disabled", "none"],
)
def test_where_no_traces_are_asked_for_nothing_is_imported(
    before: str, variables: dict[str, str]
) -> None:
    ended = run(before + PROGRAM, **variables)
    loaded, traceparent, _ = ended.stdout.splitlines()
    assert (loaded, traceparent, ended.stderr) == ("[]", "", "")


def test_spans_are_sent_before_the_process_ends(collector: Collector) -> None:
    never = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    ended = run(PATIENT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.url + "/v1/traces", **never)
    loaded, traceparent, _ = ended.stdout.splitlines()
    (span,) = collector.spans
    assert loaded == str(SENDERS)
    assert traceparent.split("-")[1:3] == [span.trace_id, span.span_id]
    assert (span.service, span.resource["fact"]) == ("univigu-test", "known")


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_SERVICE_NAME": "ours"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=ours"}],
    ids=lambda variables: next(iter(variables)),
)
def test_the_name_of_the_service_can_be_chosen(
    collector: Collector, variables: dict[str, str]
) -> None:
    run(PATIENT, **collector.variables, **variables)
    assert [span.service for span in collector.spans] == ["ours"]


def test_what_the_sampler_leaves_out_is_not_sent(collector: Collector) -> None:
    ended = run(PATIENT, **collector.variables, OTEL_TRACES_SAMPLER="always_off")
    assert int(ended.stdout.splitlines()[1].split("-")[-1], 16) & 1 == 0
    assert collector.spans == []


@pytest.mark.parametrize(
    ("before", "variables", "reason"),
    [
        ("import sys; sys.modules['opentelemetry.exporter'] = None", {}, "the extra `otel`"),
        ("", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "'grpc' is not offered"),
        ("", {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, "max_queue_size"),
    ],
    ids=["no-extra", "protocol", "queue"],
)
def test_what_cannot_be_sent_is_said_and_work_goes_on(
    before: str, variables: dict[str, str], reason: str
) -> None:
    ended = run(before + PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=URL, **variables)
    assert ended.stdout.splitlines()[1] == ""
    assert "no traces: " in ended.stderr
    assert reason in ended.stderr


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_collector_keeps_no_process_from_ending(silent_url: str) -> None:
    ended = run(PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=silent_url, OTEL_EXPORTER_OTLP_TIMEOUT="600")
    assert 1 < float(ended.stdout.splitlines()[-1]) < 60
