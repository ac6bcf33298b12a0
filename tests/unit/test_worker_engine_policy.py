from types import SimpleNamespace

from worker.engine.policy import CaptionsFirst


def job(kind, last_turn):
    return SimpleNamespace(kind=kind, last_turn=last_turn)


def test_caption_goes_before_a_video_that_has_waited_longer():
    video, caption = job("generate", 0), job("understand", 9)
    assert CaptionsFirst().pick([video, caption]) is caption


def test_jobs_of_a_kind_take_turns():
    jobs = [job("generate", 0) for _ in range(3)]
    order = []
    for turn in range(1, 7):
        picked = CaptionsFirst().pick(jobs)
        picked.last_turn = turn
        order.append(jobs.index(picked))
    assert order == [0, 1, 2, 0, 1, 2]
