"""Many videos through a server: sent in batches, done once, and nothing left behind."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from batching_house import batches, files, nothing
from cli_house import until

from cli.batcher import Batcher
from cli.batching import BatchingModel
from cli.index import CaptionIndex
from cli.items import BadOption, ItemFailed
from cli.sent import SentLines
from contract.batches import BatchStore
from contract.records import Status
from univigu_client import Client

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def looks(monkeypatch):
    monkeypatch.setattr("cli.batcher._LOOK_SECONDS", 0.05)
    monkeypatch.setattr("cli.batching._LOOK_SECONDS", 0.05)


@contextmanager
def killed_call(caption, wishes):
    """Run a call that has sent these wishes, and ends without a word when the block does."""
    is_over = threading.Event()

    def check(at, of):
        if is_over.is_set():
            raise SystemExit

    def describe(backend, wish):
        with suppress(SystemExit):
            backend.describe(wish, check)

    with pytest.MonkeyPatch.context() as patched:
        # it has no time for these
        patched.setattr(Client, "cancel_batch", lambda self, batch: None)
        patched.setattr(Client, "delete_file", lambda self, file_id: None)
        with caption() as backend, ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(describe, backend, wish) for wish in wishes]
            try:
                yield
            finally:
                is_over.set()
        for call in calls:
            call.result()


def test_videos_of_many_threads_share_batches(caption, captioner, wish, live_url):
    captioner.is_held = True
    with caption() as backend, ThreadPoolExecutor(12) as pool:
        wishes = [wish(f"{number}") for number in range(12)]
        calls = [pool.submit(backend.describe, each, nothing) for each in wishes]
        until(lambda: len(files(live_url)) == 12)
        captioner.is_held = False
        found = [call.result(60) for call in calls]
    assert [each.text for each in found] == [f"shows {number}" for number in range(12)]
    assert {each.seconds for each in found} == {1}
    made = batches(captioner.worker)
    assert sum(batch.total for batch in made) == 12
    # the first with what was there, a second beside it, and one with what came since
    assert len(made) <= 3
    assert files(live_url) == []
    assert files(live_url, "batch") == files(live_url, "batch_output") == []


def test_the_same_video_twice_is_one_job(caption, captioner, wish):
    same = wish("same")
    with caption() as backend, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(backend.describe, same, nothing) for _ in range(3)]
        assert {call.result(60).text for call in calls} == {"shows same"}
        assert backend.describe(same, nothing).text == "shows same"
    assert len(captioner.records()) == 1


def test_a_call_goes_on_with_the_batches_of_one_that_was_killed(caption, captioner, wish, live_url):
    captioner.is_held = True
    wishes = [wish(f"{number}") for number in range(5)]
    with killed_call(caption, wishes):
        until(lambda: captioner.records() and len(files(live_url)) == 5)
    captioner.is_held = False
    until(lambda: {record.status for record in captioner.records()} == {Status.COMPLETED})
    with caption() as backend:
        texts = [backend.describe(each, nothing).text for each in wishes]
    assert texts == [f"shows {number}" for number in range(5)]
    assert len(captioner.records()) == 5
    assert files(live_url) == []


@pytest.mark.parametrize("point", ["before the batch was made", "before that was noted"])
def test_a_call_that_was_killed_while_it_made_a_batch_makes_one(
    caption, captioner, wish, tmp_path, live_url, point
):
    body = {"seed": 3}
    with caption() as backend, SentLines(tmp_path / "captions.db", live_url) as sent:
        with Client(live_url) as client:
            body["file_id"] = client.upload(wish("a").path)
            sent.note("token", {"key of a": body})
            if point == "before that was noted":
                client.create_batch(
                    "captions", {"key of a": body}, idempotency_key="token", lifetime_seconds=259200
                )
        assert backend.describe(wish("a"), nothing).text == "shows a"
    assert len(batches(captioner.worker)) == len(captioner.records()) == 1


def test_what_is_no_video_is_final_and_what_was_lost_is_not(caption, captioner, wish):
    with caption() as backend:
        with pytest.raises(ItemFailed, match="it is bad") as failed:
            backend.describe(wish("bad"), nothing)
        assert failed.value.is_final
        with pytest.raises(ItemFailed, match="empty file") as failed:
            backend.describe(wish(""), nothing)
        assert failed.value.is_final
        with pytest.raises(ItemFailed, match="it is lost") as failed:
            backend.describe(wish("lost"), nothing)
        assert not failed.value.is_final
    with caption() as backend:  # is known as lost, and sent once more
        assert backend.describe(wish("lost"), nothing).text == "shows lost"
        with pytest.raises(ItemFailed, match="it is bad"):
            backend.describe(wish("bad"), nothing)
    assert len(captioner.records()) == 3


def test_a_batch_that_a_busy_server_had_no_time_for_is_sent_again(caption, captioner, wish):
    captioner.is_held = True
    with caption() as backend, ThreadPoolExecutor(1) as pool:
        call = pool.submit(backend.describe, wish("a"), nothing)
        record = until(lambda: next(iter(captioner.records()), None))
        BatchStore(captioner.worker.redis).finalize(batches(captioner.worker)[0].id, "expired")
        until(lambda: captioner.worker.jobs.get(record.id).status is Status.CANCELLED)
        captioner.is_held = False
        assert call.result(60).text == "shows a"


def test_a_server_that_is_away_fails_the_item_for_now(wish, tmp_path):
    index = tmp_path / "captions.db"
    with CaptionIndex(index), Client("http://127.0.0.1:9") as client:
        with SentLines(index, client.url) as sent, Batcher(client, sent) as batcher:
            with pytest.raises(ItemFailed, match="no answer") as failed:
                BatchingModel(client, batcher).describe(wish("a"), nothing)
    assert not failed.value.is_final


def test_an_option_that_the_server_refuses_is_the_commands(caption, captioner, wish):
    with caption() as backend, pytest.raises(BadOption, match="segment_seconds"):
        backend.describe(wish("a", segment_seconds=0.1), nothing)


class TestQuota:
    """A key that may keep less at a time than its library has."""

    @pytest.fixture
    def server_settings(self, server_settings):
        return server_settings.model_copy(update={"max_storage_bytes_per_key": 30_000})

    def test_videos_take_turns_on_the_server(self, caption, captioner, wish):
        with caption() as backend, ThreadPoolExecutor(8) as pool:
            wishes = [wish(f"{number:08}") for number in range(8)]
            for each in wishes:
                each.path.write_bytes(each.path.read_bytes() * 1000)
            calls = [pool.submit(backend.describe, each, nothing) for each in wishes]
            assert all(call.result(100).text.startswith("shows 0") for call in calls)
        assert len(captioner.records()) == 8
