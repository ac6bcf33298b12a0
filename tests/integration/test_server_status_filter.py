"""Lists of jobs and batches in the states that were asked for."""

import threading

import pytest
from openai import OpenAI
from server_apps import create_video

from contract.batch_records import BatchRecord
from contract.batches import BatchStore
from contract.records import Status

pytestmark = pytest.mark.usefixtures("worker")


def shown(api, query):
    answer = api.get(f"/v1/videos?{query}")
    assert answer.status_code == 200, answer.text
    return [video["id"] for video in answer.json()["data"]]


@pytest.fixture
def ids(api, worker):
    """Six jobs: completed, cancelled, completed, running, and two that wait."""
    made = [create_video(api) for _ in range(6)]
    worker.complete(made[0])
    api.post(f"/v1/videos/{made[1]}/cancel")
    worker.complete(made[2])
    worker.start(made[3])
    return made


def test_one_state_or_several_are_asked_for(api, ids):
    assert shown(api, "status=completed") == [ids[2], ids[0]]
    assert shown(api, "status=queued&status=in_progress&order=asc") == ids[3:]
    assert shown(api, "status[]=cancelled&status[]=completed") == [ids[2], ids[1], ids[0]]
    assert shown(api, "status=failed") == []
    assert shown(api, "status=queued&status=queued") == [ids[5], ids[4]]


def test_pages_go_on_while_jobs_change_their_state(api, worker, ids):
    first = api.get("/v1/videos?status=queued&limit=1").json()
    assert ([video["id"] for video in first["data"]], first["has_more"]) == ([ids[5]], True)
    worker.start(ids[5])
    rest = api.get(f"/v1/videos?status=queued&limit=1&after={first['last_id']}").json()
    assert ([video["id"] for video in rest["data"]], rest["has_more"]) == ([ids[4]], False)


def test_captions_are_asked_for_in_the_same_way(api, worker, completed_video):
    made = [
        api.post("/v1/captions", json={"video_id": completed_video}).json()["id"] for _ in range(2)
    ]
    worker.complete(made[0], "a circle")
    listed = api.get("/v1/captions?status=completed").json()["data"]
    assert [caption["id"] for caption in listed] == made[:1]
    assert shown(api, "status=completed") == [completed_video]


@pytest.mark.parametrize("path", ["videos", "captions", "batches"])
@pytest.mark.parametrize("name", ["status", "status[]"])
def test_an_unknown_state_is_refused_with_those_there_are(api, path, name):
    answer = api.get(f"/v1/{path}?{name}=completed&{name}=running")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (name, "invalid_value")
    assert "'in_progress'" in error["message"]
    assert "'running'" in error["message"]


def test_no_other_record_is_read_for_a_rare_state(api, worker):
    made = [create_video(api) for _ in range(150)]
    worker.jobs.cancel(made[0])

    def reads():
        return worker.redis.info("commandstats")["cmdstat_hgetall"]["calls"]

    before = reads()
    assert shown(api, "status=cancelled") == [made[0]]
    assert reads() - before < 10


def test_a_state_that_is_left_while_it_is_read_makes_room_for_the_next(api, worker, monkeypatch):
    made = [create_video(api) for _ in range(5)]
    store = api.app.state.services.jobs
    get_many, is_first = store.get_many, threading.Event()

    def claimed_first(ids):
        if not is_first.is_set():
            is_first.set()
            worker.start(made[4])
        return get_many(ids)

    monkeypatch.setattr(store, "get_many", claimed_first)
    page = api.get("/v1/videos?status=queued&limit=2").json()
    assert [video["id"] for video in page["data"]] == [made[3], made[2]]
    assert page["has_more"] is True


def test_batches_are_asked_for_by_their_states(api, worker):
    batches = BatchStore(worker.redis)
    fields = {"endpoint": "/v1/videos", "input_file_id": "file-1", "size": 1, "expires_at": 9e9}
    for at, name in enumerate(("batch_a", "batch_b", "batch_c")):
        batches.create(BatchRecord(id=name, created_at=float(at), **fields))
        batches.begin(name, 1)
    batches.finalize("batch_a")
    batches.finish("batch_a", "completed", "", "")
    listed = api.get("/v1/batches?status=completed&status=failed").json()
    assert [batch["id"] for batch in listed["data"]] == ["batch_a"]
    listed = api.get("/v1/batches?status=in_progress&limit=1").json()
    assert ([batch["id"] for batch in listed["data"]], listed["has_more"]) == (["batch_c"], True)


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_the_stock_client_asks_for_states_and_follows_the_pages(live_url, worker):
    with OpenAI(base_url=live_url + "/v1", api_key="unused") as client:
        made = [client.videos.create(prompt="a red circle").id for _ in range(4)]
        for video_id in made[:3]:
            worker.complete(video_id)
        worker.jobs.finish(made[3], worker.start(made[3]), Status.CANCELLED)
        wanted = {"status": ["completed", "failed"]}
        listed = [video.id for video in client.videos.list(limit=2, extra_query=wanted)]
        assert listed == made[2::-1]
