"""Five hundred jobs of every kind leave nothing behind: memory, descriptors, files and keys."""

import pytest
from soak_house import SoakHouse, slope
from video_files import numbered_video

from contract.records import Status

JOBS, ROUND, WARM_ROUNDS = 500, 25, 6
#: growth of a process that is still noise of its allocator, in bytes per job of all
RSS_PER_JOB, ENGINE_RSS_PER_JOB = 8 << 10, 32 << 10
#: what all jobs may add; idle threads of the store's client come and go
GROWTH = {"descriptors": 1, "threads": 10}
#: rq keeps its ticket for ten minutes, and a deleted id stays taken for a day
REDIS_PER_JOB = 8 << 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_jobs_leave_nothing_behind(tiny_clips_checkpoint, tmp_path):
    clip = numbered_video(tmp_path / "in.mp4", count=30).read_bytes()
    with SoakHouse(tmp_path, tiny_clips_checkpoint, clip) as house:
        samples = []
        for _ in range(JOBS // ROUND):
            house.round(ROUND)
            samples.append(house.sample())
            print(samples[-1], flush=True)  # noqa: T201 - the figures, for who runs it with -s
    assert house.endings == {
        Status.COMPLETED: JOBS - house.endings[Status.FAILED] - house.endings[Status.CANCELLED],
        Status.FAILED: JOBS // ROUND,
        Status.CANCELLED: house.endings[Status.CANCELLED],
    }
    assert house.endings[Status.CANCELLED] <= JOBS // ROUND
    warm = samples[WARM_ROUNDS:]
    _check_processes(samples[0], warm)
    assert len({sample.temporary_files for sample in warm}) == 1
    assert len({sample.stored_files for sample in warm}) == 1
    assert warm[0].lasting_keys == warm[-1].lasting_keys
    jobs = [sample.jobs for sample in warm]
    assert slope(jobs, [sample.redis_bytes for sample in warm]) < REDIS_PER_JOB


def _check_processes(first, warm):
    jobs = [sample.jobs for sample in warm]
    for sample in warm:
        assert sample.rss.keys() == first.rss.keys(), "a process was replaced"
    for role in first.rss:
        growth = slope(jobs, [sample.rss[role] for sample in warm])
        limit = ENGINE_RSS_PER_JOB if "engine" in role else RSS_PER_JOB
        assert growth < limit, f"{role} grows by {growth:.0f} bytes per job"
        for counts, most in GROWTH.items():
            held = [getattr(sample, counts)[role] for sample in warm]
            assert slope(jobs, held) * JOBS < most, f"{role} has {counts} {held}"
