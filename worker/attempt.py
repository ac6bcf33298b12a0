"""One try at one job: read the input, let the engine work, deliver what it made.

An attempt reports to the job's record and stops when the record no longer knows it; how the job
ends is recorded by the slot.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from obstore.exceptions import BaseError

from contract.artifacts import ArtifactStore, preview_key
from contract.errors import ErrorCode, ErrorInfo
from contract.jobs import JobStore
from contract.jobs import Progress as Answer
from contract.policy import Policy, judge
from contract.records import JobRecord
from contract.requests import GenerateRequest, JobResult, Segment
from contract.tracing import current_traceparent
from worker.delivery import deliver, find_delivered
from worker.engine_link import EngineLink
from worker.failures import Cancelled, JobFailed, NotMine
from worker.intake import fetch_clip
from worker.protocol import VIDEO_FILE, Done, Failed, Preview, Progress, Start
from worker.run_folder import RunFolder
from worker.settings import WorkerSettings
from worker.signing import SigningError, VideoSigner
from worker.spans import stage_span
from worker.waiting import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What every attempt of a slot works with."""

    jobs: JobStore
    artifacts: ArtifactStore
    run: RunFolder
    settings: WorkerSettings
    policy: Policy | None = None
    signer: VideoSigner | None = None


def check_ownership(answer: Answer) -> None:
    """Turn the record's answer into the end of the attempt, where it is one.

    Raises:
        Cancelled: when the job's owner wants it stopped.
        NotMine: when another attempt has the job, or it has ended.
    """
    if answer is Answer.CANCEL_REQUESTED:
        raise Cancelled
    if answer is Answer.NOT_MINE:
        raise NotMine


class Attempt:
    """One claimed try.

    Args:
        around: what the slot works with.
        record: the claimed job.
        watch: keeps the lease alive.
        workdir: an empty folder for this attempt's files.
    """

    def __init__(
        self, around: Surroundings, record: JobRecord, watch: Watch, workdir: Path
    ) -> None:
        self._around, self._watch = around, watch
        self._record, self._workdir = record, workdir

    def run(self) -> JobResult:
        """Carry the job out.

        Raises:
            JobFailed: the job cannot be done.
            InfrastructureLost: something went away; try again.
            Cancelled: its owner stopped it.
            NotMine: the record has moved on.
            HandBack: the slot has to leave.
        """
        job_id, number = self._record.id, self._record.attempt
        artifacts = self._around.artifacts
        if number > 1:
            earlier = self._watch.call(partial(find_delivered, artifacts, job_id, number))
            if earlier is not None:
                return earlier
        done = self._work()
        self._judge(done)
        self._sign(done)
        with stage_span("deliver"):
            return self._watch.call(partial(deliver, artifacts, self._workdir, self._record, done))

    def _judge(self, done: Done) -> None:
        for text in (done.text, done.draft, *(segment.text for segment in done.segments)):
            refusal = judge(self._around.policy, text)
            if refusal is not None:
                raise JobFailed(refusal)

    def _sign(self, done: Done) -> None:
        signer, record = self._around.signer, self._record
        if signer is None or record.kind != "generate":
            return
        checkpoint = self._around.run.capabilities().checkpoint
        video = self._workdir / VIDEO_FILE
        try:
            with stage_span("sign"):
                self._watch.call(partial(signer.sign, video, checkpoint, done.seed))
        except SigningError as error:
            # the reason may name files of this machine
            log.error("job %s: the video could not be signed: %s", record.id, error)
            message = "the video could not be signed; the worker's log says why"
            raise JobFailed(ErrorInfo(code=ErrorCode.SIGNING_FAILED, message=message)) from error

    def _work(self) -> Done:
        request = self._record.parsed_request()
        if isinstance(request, GenerateRequest):
            return self._ask_engine()
        started = time.monotonic()
        around = self._around
        fetch = partial(
            fetch_clip,
            around.artifacts,
            request,
            self._workdir,
            around.run.capabilities(),
            around.settings,
        )
        with stage_span("read"):
            found = self._watch.call(fetch)
        seconds = time.monotonic() - started
        done = self._ask_engine()
        return done.model_copy(
            update={
                "stage_durations": {"read": seconds, **done.stage_durations},
                "input_seconds": found.seconds or None,
                "notes": found.notes + done.notes,
                "segments": _segments(found.spans, done),
            }
        )

    def _ask_engine(self) -> Done:
        around, record = self._around, self._record
        start = Start(
            id=record.id,
            attempt=record.attempt,
            request=record.parsed_request(),
            workdir=self._workdir,
            account=record.account,
            traceparent=current_traceparent(),
        )
        path, patience = around.run.socket_path, around.settings.engine_wait_seconds
        with EngineLink(path, self._watch, patience) as engine:
            engine.send(start)
            while True:
                reply = engine.receive()
                if isinstance(reply, Done):
                    return reply
                if isinstance(reply, Failed):
                    raise JobFailed(ErrorInfo(**reply.model_dump(exclude={"type"})))
                self._report(reply)

    def _report(self, reply: Progress | Preview) -> None:
        data = reply.model_dump(exclude={"type"})
        if isinstance(reply, Preview):
            data["frame"] = self._watch.call(partial(self._store_preview, reply))
            if judge(self._around.policy, reply.caption) is not None:
                data["caption"] = None
        jobs, record = self._around.jobs, self._record
        check_ownership(jobs.report(record.id, record.attempt, reply.type, data))

    def _store_preview(self, preview: Preview) -> str | None:
        """Return the key of the stored picture; None if it was not taken: the job goes on."""
        record = self._record
        key = preview_key(record.id, record.attempt, preview.step)
        try:
            self._around.artifacts.put(key, self._workdir / preview.frame, "image/jpeg")
        except (BaseError, OSError) as error:
            log.warning("job %s: no preview of step %d: %s", record.id, preview.step, error)
            return None
        return key


def _segments(spans: list[tuple[float, float]], done: Done) -> list[Segment]:
    timed = zip(spans, done.segment_texts, strict=True)
    return [Segment(start=start, end=end, text=text) for (start, end), text in timed]
