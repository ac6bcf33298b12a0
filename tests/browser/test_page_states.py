"""The page in situations that a fast service is seldom in; the worker is played by the test."""

import io
import re

import httpx2
import pytest
from browser_house import check_accessible, keep_screenshot, state
from PIL import Image
from playwright.sync_api import expect
from pydantic import SecretStr

from contract.artifacts import preview_key
from server.settings import ServerSettings

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

KEY = "sesame"


@pytest.fixture
def server_settings(request, redis_url, tmp_path):
    """Settings of a server on an empty Redis; a test may name more."""
    named = getattr(request, "param", {})
    return ServerSettings(redis_url=redis_url, data_dir=tmp_path, port=0, **named)


def with_settings(**named):
    return pytest.mark.parametrize("server_settings", [named], indirect=True)


def submit(page, prompt):
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.get_by_role("button", name="Make video").click()


def start_video(url, **fields):
    job = httpx2.post(f"{url}/v1/videos", json={"prompt": "a red circle"} | fields).json()
    return job["id"]


def show_preview(worker, job_id, attempt, step, caption, colour):
    picture = io.BytesIO()
    Image.new("RGB", (96, 64), colour).save(picture, "jpeg")
    frame = preview_key(job_id, attempt, step)
    worker.artifacts.put(frame, picture.getvalue(), "image/jpeg")
    data = {"step": step, "of": 20, "caption": caption, "frame": frame}
    worker.jobs.report(job_id, attempt, "preview", data)


def uploads_of(page):
    """Return how to limit what a page sends, in bytes a second; -1 is no limit."""
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    others = {"offline": False, "latency": 0, "downloadThroughput": -1}
    return lambda rate: network.send(
        "Network.emulateNetworkConditions", others | {"uploadThroughput": rate}
    )


def words(page, kind):
    return page.locator(f"#words span{kind}").all_inner_texts()


def test_a_model_that_is_loading_is_waited_for(live_url, open_page, request):
    page = open_page(live_url)
    expect(page.locator("#banner")).to_contain_text("The model is loading")
    submit(page, "a red circle")
    expect(page.locator("#video-error")).to_contain_text("still loading, so this was not taken")
    check_accessible(page)
    keep_screenshot(page, "loading")
    request.getfixturevalue("worker")
    expect(page.locator("#banner")).to_have_text("The server is ready.")
    expect(page.locator("[name=size] option")).to_have_text(["96 x 64", "64 x 64"])
    submit(page, "a red circle")
    expect(page.locator("#state")).to_have_text("Number 1 in the queue")


@with_settings(max_queued_jobs=1)
def test_a_full_queue_refuses_and_says_so(live_url, worker, open_page):
    start_video(live_url)
    page = open_page(live_url)
    submit(page, "a red circle")
    expect(page.locator("#video-error")).to_contain_text("The queue is full, so this was not taken")
    expect(page.locator("#video-error")).to_contain_text(re.compile(r"Try again in \d+ s"))
    expect(page.get_by_role("textbox", name="Prompt")).to_have_value("a red circle")
    keep_screenshot(page, "full")


def test_a_place_in_the_queue_is_shown_and_given_up(live_url, worker, open_page):
    first = start_video(live_url)
    worker.complete(first, video=b"none", thumbnail=b"none")
    ahead = start_video(live_url, prompt="a blue square")
    page = open_page(live_url)
    submit(page, "a green cross")
    # the first one's ticket is still there: nobody takes tickets here
    expect(page.locator("#state")).to_have_text(re.compile(r"Number 3 in the queue, .* left"))
    keep_screenshot(page, "queued")
    card = page.locator("#gallery .card", has_text="a blue square")
    expect(card.locator(".badge")).to_contain_text("Number 2 in the queue")
    card.get_by_role("button", name="Cancel: a blue square").click()
    expect(card.locator(".badge")).to_have_text("Cancelled")
    assert worker.jobs.get(ahead).status == "cancelled"


def test_words_settle_in_the_steps_in_which_the_picture_does(live_url, worker, open_page):
    job_id = start_video(live_url)
    attempt = worker.start(job_id)
    page = open_page(f"{live_url}/#{job_id}")
    drafts = ["pink pink pink", "red pink moves", "red circle moves", "a circle moves"]
    for number, draft in enumerate(drafts, 1):
        show_preview(worker, job_id, attempt, number * 5, draft, (60 * number, 0, 0))
    expect(page.locator("#step")).to_have_text("Step 20 of 20")
    assert (words(page, ".loose"), words(page, ":not(.loose)")) == (["a"], ["circle", "moves"])
    expect(page.locator("#strip img")).to_have_count(4)
    page.locator("#scrub").fill("1")
    expect(page.locator("#step")).to_have_text("Step 10 of 20")
    assert words(page, ".loose") == ["red", "pink", "moves"]
    worker.jobs.release(job_id, attempt)
    worker.complete(job_id, text="a circle moves", video=b"none")
    expect(state(page, "completed")).to_be_visible()


def test_a_second_attempt_begins_with_previews_of_its_own(live_url, worker, open_page):
    job_id = start_video(live_url)
    attempt = worker.start(job_id)
    page = open_page(f"{live_url}/#{job_id}")
    show_preview(worker, job_id, attempt, 5, "lost", (90, 0, 0))
    expect(page.locator("#words")).to_have_text("lost")
    worker.jobs.release(job_id, attempt)
    expect(page.locator("#state")).to_contain_text("Trying again")
    attempt = worker.start(job_id)
    show_preview(worker, job_id, attempt, 5, "found", (0, 90, 0))
    expect(page.locator("#words")).to_have_text("found")
    expect(page.locator("#strip img")).to_have_count(1)
    expect(page.locator("#facts")).to_contain_text("Attempts2")


@with_settings(max_upload_bytes=100_000)
def test_a_file_that_is_too_large_is_refused_with_the_limit(live_url, worker, open_page, tmp_path):
    (tmp_path / "long.mp4").write_bytes(bytes(5_000_000))
    page = open_page(live_url)
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_role("tab", name="Caption a video").click()
    page.locator("#file").set_input_files(tmp_path / "long.mp4")
    page.get_by_role("button", name="Caption it").click()
    expect(page.locator("#caption-error")).to_contain_text("over the limit of 100000 bytes")
    assert sent.count("POST") == 1


def test_a_large_file_shows_how_much_of_it_is_sent(live_url, worker, open_page, tmp_path):
    (tmp_path / "long.mp4").write_bytes(bytes(4_000_000))
    page = open_page(live_url)
    expect(page.locator("#server")).to_have_text("Ready")
    limit_uploads = uploads_of(page)
    limit_uploads(100_000)  # 40 seconds, to look at it on a machine that has much else to do
    page.get_by_role("tab", name="Caption a video").click()
    page.locator("#file").set_input_files(tmp_path / "long.mp4")
    page.get_by_role("button", name="Caption it").press("Enter")
    bar = page.get_by_role("progressbar", name="Sending the video")
    expect(bar).to_be_visible()
    expect(page.locator("#form-caption .sending")).to_contain_text(re.compile(r"Sending, \d+ %"))
    check_accessible(page)
    keep_screenshot(page, "sending")
    expect(page.locator("#announcer")).to_have_text(re.compile(r"\d\d % of long.mp4 sent"))
    assert 0.2 < bar.evaluate("bar => bar.value") < 1
    limit_uploads(-1)
    expect(page.locator("#state")).to_contain_text("Number 1 in the queue")
    expect(bar).to_be_hidden()
    (job_id,) = worker.jobs.live_ids()
    assert len(worker.artifacts.get(worker.jobs.get(job_id).parsed_request().source)) == 4_000_000


@with_settings(api_keys=(SecretStr(KEY),))
def test_a_key_is_asked_for_tried_kept_and_forgotten(live_url, worker, open_page):
    page = open_page(live_url)
    expect(page.locator("#banner")).to_contain_text("This server asks for an API key")
    submit(page, "a red circle")
    expect(page.locator("#video-error")).to_contain_text("Nothing was started")
    keep_screenshot(page, "no-key")
    page.get_by_role("button", name="Enter a key").click()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-error")).to_have_text("This server does not know this key.")
    check_accessible(page)
    page.get_by_label("Key", exact=True).fill(KEY)
    worker.warm_up()
    page.keyboard.press("Enter")
    expect(page.locator("#server")).to_have_text("Ready")
    submit(page, "a red circle")
    expect(page.locator("#state")).to_contain_text("Number 1 in the queue")
    _check_pictures_need_the_key(page, live_url, worker)
    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#banner")).to_contain_text("This server asks for an API key")


def _check_pictures_need_the_key(page, url, worker):
    job_id = page.url.rpartition("#")[2]
    show_preview(worker, job_id, worker.start(job_id), 5, "red", (200, 0, 0))
    expect(page.locator("#frame")).to_have_js_property("naturalWidth", 96)
    assert page.locator("#frame").get_attribute("src").startswith("blob:")
    content = f"{url}/v1/videos/{job_id}/content?variant=preview&step=5"
    assert httpx2.get(content).status_code == 401


def test_a_job_that_does_not_exist_is_said_to_be_missing(live_url, worker, open_page):
    page = open_page(f"{live_url}/#video_none")
    expect(page.locator("#failure")).to_contain_text("does not exist")
    expect(page.locator("#stage-title")).to_have_text("This job cannot be shown")
