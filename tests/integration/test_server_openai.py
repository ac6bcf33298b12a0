"""The stock `openai` client against a live server."""

from collections.abc import Iterator

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from server_apps import Worker

pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning"),
]


@pytest.fixture
def client(live_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{live_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def test_create_poll_and_download(client: OpenAI, worker: Worker) -> None:
    video = client.videos.create(
        prompt="a red circle",
        seconds="1",  # type: ignore[arg-type]
        size="64x64",  # type: ignore[arg-type]
        extra_body={"seed": 3, "video_params": {"fps": 16}},
    )
    assert (video.status, video.size, video.seconds) == ("queued", "64x64", "1")
    assert video.model_extra is not None
    assert (video.model_extra["fps"], video.model_extra["seed"]) == (16, 3)
    worker.complete(video.id, video=b"frames", thumbnail=b"jpeg")
    done = client.videos.poll(video.id)
    assert (done.status, done.progress) == ("completed", 100)
    assert done.caption == "a red circle moves left"  # type: ignore[attr-defined]
    assert client.videos.download_content(video.id).read() == b"frames"
    assert client.videos.download_content(video.id, variant="thumbnail").read() == b"jpeg"


def test_create_as_plain_json(client: OpenAI) -> None:
    headers = {"Content-Type": "application/json"}
    assert client.videos.create(prompt="a red circle", extra_headers=headers).status == "queued"


def test_list_goes_through_all_pages(client: OpenAI) -> None:
    ids = [client.videos.create(prompt="a red circle").id for _ in range(3)]
    assert [video.id for video in client.videos.list(limit=2, order="asc")] == ids


def test_delete_and_retrieve(client: OpenAI) -> None:
    video = client.videos.create(prompt="a red circle")
    deleted = client.videos.delete(video.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (video.id, "video.deleted", True)
    with pytest.raises(NotFoundError, match="does not exist"):
        client.videos.retrieve(video.id)


def test_a_refusal_names_its_field(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="allowed: 96x64, 64x64") as caught:
        client.videos.create(prompt="a red circle", size="720x1280")
    assert caught.value.param == "size"


def test_content_that_is_not_there_yet_is_an_error(client: OpenAI) -> None:
    video = client.videos.create(prompt="a red circle")
    with pytest.raises(NotFoundError, match="is queued"):
        client.videos.download_content(video.id)


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["univigu"]
    assert client.models.retrieve("univigu").owned_by == "univigu"
