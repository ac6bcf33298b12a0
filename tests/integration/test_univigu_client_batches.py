"""Batches of both clients, against the real HTTP process."""

import pytest

from contract.records import Status
from univigu_client import ApiError, StillRunning


class Begun(Exception):
    """The batch is in progress."""


def test_a_batch_has_an_outcome_for_each_request(client, worker, monkeypatch):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)

    def work(_):
        for job_id in worker.jobs.live_ids():
            if worker.jobs.get(job_id).status is Status.QUEUED:
                worker.complete(job_id, f"shows {job_id}")

    requests = {"one": {"prompt": "x", "seed": 3}, "bad": {"prompt": "x", "size": "7x7"}}
    batch = client.create_batch("videos", requests)
    assert (batch.status, batch.has_ended) == ("validating", False)
    batch = client.wait_batch(batch, work, 60)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 2, 1, 1)
    outcomes = client.outcomes(batch)
    job = client.retrieve("videos", outcomes["one"].id)
    assert (job.text, job.fields["seed"]) == (f"shows {job.id}", 3)
    assert (outcomes["bad"].status, outcomes["bad"].param) == (400, "size")


def test_requests_that_are_no_batch_say_why(client, worker, monkeypatch, tmp_path):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)
    batch = client.wait_batch(client.create_batch("videos", {}), timeout=60)
    assert batch.status == "failed"
    assert batch.errors


def test_a_batch_captions_files_and_can_be_cancelled(client, worker, monkeypatch, tmp_path):
    monkeypatch.setattr("univigu_client.batches._PAUSE_SECONDS", 0.05)
    (tmp_path / "in.mp4").write_bytes(b"an mp4")
    file_id = client.upload(tmp_path / "in.mp4")
    batch = client.create_batch("captions", {"in.mp4": {"file_id": file_id, "seed": 1}})

    def until_begun(seen):
        if seen.status == "in_progress":
            raise Begun

    with pytest.raises(Begun):
        client.wait_batch(batch, until_begun, 60)
    with pytest.raises(StillRunning):
        client.wait_batch(batch, timeout=0)
    client.cancel_batch(batch)
    batch = client.wait_batch(batch, timeout=60)
    assert batch.status == "cancelled"
    assert isinstance(client.outcomes(batch)["in.mp4"], ApiError)
