"""The spans of a job in the engine, as the SDK itself ends them."""

from pathlib import Path

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contract.requests import UnderstandRequest
from worker.engine.spans import JobSpans
from worker.protocol import Done, Failed, Progress, Start

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
START = Start(
    id="caption_1",
    attempt=2,
    request=UnderstandRequest(source="s", seed=0, num_inference_steps=2),
    workdir=Path("w"),
    traceparent=PARENT,
)
DONE = Done(text="x", seed=0, stage_durations={"denoise": 1.5, "encode": 0.5}, batched=3)


def run(final: Done | Failed | None, *phases: str) -> None:
    job = JobSpans(START)
    job.begin()
    for phase in phases:
        job.begin()
        job.note(Progress(phase=phase, step=1, of=2))
    job.end(final)


def test_phases_follow_on_each_other_without_gaps(exporter: InMemorySpanExporter) -> None:
    run(DONE, "denoise", "denoise", "decode")
    *stages, whole = exporter.get_finished_spans()
    assert [span.name for span in stages] == ["wait", "denoise", "decode"]
    assert [dict(span.attributes) for span in stages] == [
        {},
        {"univigu.steps": 2},
        {"univigu.steps": 1},
    ]
    assert {span.parent.span_id for span in stages} == {whole.context.span_id}
    assert stages[0].end_time == stages[1].start_time
    assert stages[1].end_time == stages[2].start_time
    assert stages[2].end_time <= whole.end_time


def test_the_whole_says_what_it_took(exporter: InMemorySpanExporter) -> None:
    run(DONE, "denoise")
    whole = exporter.get_finished_spans()[-1]
    assert f"{whole.parent.trace_id:032x}-{whole.parent.span_id:016x}" in PARENT
    assert dict(whole.attributes) == {
        "univigu.job.id": "caption_1",
        "univigu.job.attempt": 2,
        "univigu.job.mode": "understand",
        "univigu.job.batched": 3,
        "univigu.stage.denoise_seconds": 1.5,
        "univigu.stage.encode_seconds": 0.5,
    }


def test_a_failure_ends_what_it_broke_off(exporter: InMemorySpanExporter) -> None:
    run(Failed(code="out_of_memory", message="full"), "denoise")
    _, denoise, whole = exporter.get_finished_spans()
    assert denoise.name == "denoise"
    assert whole.attributes["error.type"] == "out_of_memory"
    assert (whole.status.is_ok, whole.status.description) == (False, "full")


def test_a_job_whose_slot_leaves_before_its_turn_has_only_waited(
    exporter: InMemorySpanExporter,
) -> None:
    JobSpans(START).end(None)
    wait, whole = exporter.get_finished_spans()
    assert (wait.name, whole.attributes["univigu.job.dropped"]) == ("wait", True)


def test_where_nothing_is_traced_nothing_is_noted() -> None:
    run(DONE, "denoise")
