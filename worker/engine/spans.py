"""The spans of one job in the engine: the job as a whole, and below it what it went through."""

from __future__ import annotations

import time

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from contract.tracing import parent_context
from worker.protocol import Done, Failed, Progress, Start
from worker.spans import job_attributes, mark_failed

_tracer = trace.get_tracer("univigu.engine")
_WAIT = "wait"


class JobSpans:
    """Traces a job from its arrival on: the wait for memory and a turn, then its phases.

    Jobs take turns, so that a phase also spans the turns of others; how long the engine has worked
    for this one is in the attributes of the whole.

    Args:
        start: what the slot asks for.
    """

    def __init__(self, start: Start) -> None:
        self._span = _tracer.start_span(
            f"engine {start.request.kind}", parent_context(start.traceparent), SpanKind.SERVER
        )
        if self._span.is_recording():
            self._span.set_attributes(job_attributes(start.id, start.attempt, start.request))
        self._context = trace.set_span_in_context(self._span)
        #: where a phase ends and the next one begins, in nanoseconds
        self._boundary = time.time_ns()
        self._phase, self._steps = "", 0
        self._stage: Span | None = None
        self._enter(_WAIT)

    def begin(self) -> None:
        """Note that the job takes a step; the first one ends the wait."""
        if self._phase == _WAIT:
            self._boundary = time.time_ns()
            self._leave()

    def note(self, progress: Progress) -> None:
        """Note a step that is done."""
        if progress.phase != self._phase:
            self._leave()
            self._enter(progress.phase)
        self._steps += 1
        self._boundary = time.time_ns()

    def end(self, final: Done | Failed | None) -> None:
        """Note the last message; None where the slot has left before there was one."""
        self._boundary = time.time_ns()
        self._leave()
        if isinstance(final, Failed):
            mark_failed(self._span, final.code, final.message)
        elif final is None:
            self._span.set_attribute("univigu.job.dropped", True)
        elif self._span.is_recording():
            self._span.set_attribute("univigu.job.batched", final.batched)
            for stage, seconds in final.stage_durations.items():
                self._span.set_attribute(f"univigu.stage.{stage}_seconds", seconds)
        self._span.end()

    def _enter(self, phase: str) -> None:
        self._phase, self._steps = phase, 0
        self._stage = _tracer.start_span(phase, self._context, start_time=self._boundary)

    def _leave(self) -> None:
        if self._stage is None:
            return
        if self._steps:
            self._stage.set_attribute("univigu.steps", self._steps)
        self._stage.end(self._boundary)
        self._phase, self._stage = "", None
