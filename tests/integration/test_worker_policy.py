"""A caption that the policy does not allow never leaves the worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_house import House

from contract.artifacts import job_folder
from contract.events import read_events
from contract.records import Status


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Iterator[House]:
    words = tmp_path / "words.txt"
    words.write_text("[weapons]\ngun\n")
    made = House(
        redis_url, tmp_path, blocked_words_file=words, generate_slots=1, understand_slots=0
    )
    made.start()
    yield made
    made.close()


def test_its_job_fails_with_the_rule_and_shows_no_draft_of_it(house: House) -> None:
    # the stand-in says back what it is asked for; the server would have refused this prompt
    record = house.ended(house.generate("ball and gun", preview_interval=1))
    assert record.status is Status.FAILED
    assert record.error is not None
    assert record.error.code == "content_policy_violation"
    assert "'weapons'" in record.error.message
    assert record.attempt == 1
    files = house.artifacts.list(job_folder(record.id))
    assert [name for name in files if "preview" not in name] == []
    events = read_events(house.redis, record.id)
    drafts = [event.data["caption"] for event in events if event.type == "preview"]
    assert drafts[:2] == ["ball", "ball and"]
    assert set(drafts[2:]) == {None}
    assert house.completed(house.generate("a red ball")).result is not None


def test_a_draft_that_took_the_prompts_place_is_judged_like_a_caption(house: House) -> None:
    record = house.ended(house.generate("sly"))
    assert record.status is Status.FAILED
    assert record.error is not None
    assert record.error.code == "content_policy_violation"
