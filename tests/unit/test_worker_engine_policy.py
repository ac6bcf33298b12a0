"""Turns: captions before videos, accounts in turn, and a share of the time for videos."""

from collections import Counter
from types import SimpleNamespace

import pytest

from worker.engine.policy import VIDEO_SHARE, FairTurns


def job(kind, account="", step_seconds=0.0):
    start = SimpleNamespace(account=account)
    return SimpleNamespace(kind=kind, start=start, last_turn=0, step_seconds=step_seconds)


def take(policy, jobs, seconds=1.0):
    """Let the policy pick and charge once, and return the index of the picked job."""
    picked = policy.pick(jobs)
    cost = picked.step_seconds or seconds
    waits = picked.kind == "understand" and any(job.kind == "generate" for job in jobs)
    policy.charge([picked], cost, waits)
    return jobs.index(picked)


def test_caption_goes_before_a_video_that_has_waited_longer():
    video, caption = job("generate"), job("understand")
    caption.last_turn = 9
    assert FairTurns().pick([video, caption]) is caption


def test_jobs_of_a_kind_take_turns():
    policy, jobs = FairTurns(), [job("generate") for _ in range(3)]
    assert [take(policy, jobs) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_accounts_take_turns_however_many_jobs_they_have():
    policy = FairTurns()
    jobs = [job("generate", "a"), job("generate", "a"), job("generate", "a"), job("generate", "b")]
    assert [take(policy, jobs) for _ in range(6)] == [0, 3, 1, 3, 2, 3]


def test_account_that_always_comes_with_a_new_job_goes_no_sooner():
    policy, patient, order = FairTurns(), job("understand", "patient"), []
    for _ in range(6):
        jobs = [job("understand", "eager"), patient]
        order.append(take(policy, jobs))
    assert order == [0, 1, 0, 1, 0, 1]


def test_videos_of_an_account_do_not_put_its_captions_back():
    policy = FairTurns()
    policy.charge([job("generate", "a")], 1.0, False)
    first, second = job("understand", "a"), job("understand", "b")
    assert policy.pick([first, second]) is first


@pytest.mark.parametrize(("caption_seconds", "video_seconds"), [(0.1, 1.0), (1.0, 0.1), (1.0, 1.0)])
def test_captions_that_never_end_leave_videos_their_share(caption_seconds, video_seconds):
    policy = FairTurns()
    jobs = [job("generate", step_seconds=video_seconds)] + [
        job("understand", step_seconds=caption_seconds) for _ in range(3)
    ]
    turns = Counter(jobs[take(policy, jobs)].kind for _ in range(4000))
    video = turns["generate"] * video_seconds
    share = video / (video + turns["understand"] * caption_seconds)
    assert share == pytest.approx(VIDEO_SHARE, abs=0.01)


def test_captions_that_kept_no_video_waiting_owe_nothing():
    policy, caption = FairTurns(), job("understand", step_seconds=1.0)
    for _ in range(100):
        take(policy, [caption])
    video = job("generate", step_seconds=1.0)
    assert policy.pick([video, caption]) is caption


def test_what_a_batch_took_counts_for_each_of_its_accounts():
    policy = FairTurns()
    jobs = [job("understand", name) for name in "abc"]
    policy.charge(jobs[:2], 1.0, False)
    assert policy.pick(jobs) is jobs[2]
