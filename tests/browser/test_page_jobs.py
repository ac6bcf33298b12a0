"""The page on the real service with the shipped checkpoint: videos, captions, questions."""

import random
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import httpx2
import psutil
import pytest
from browser_house import DESKTOP, PHONE, check_accessible, keep_screenshot, state
from cli_house import Service
from playwright.sync_api import expect
from video_files import video_of

from model.latents import to_uint8
from model.training.moving_shapes import FPS, place_scene, render
from worker.settings import shipped_checkpoint

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

CAPTION = re.compile(r"a (large|small) red \w+ .* background \.")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The whole service, as one command starts it."""
    service = Service(tmp_path_factory.mktemp("page"), shipped_checkpoint())
    yield service
    service.close()


@pytest.fixture(scope="module")
def video_url(service):
    """Where the page shows a finished video, made with previews and seed 77."""
    fields = {"prompt": "a red circle moving left", "seed": 77, "preview_interval": 2}
    job = httpx2.post(f"{service.url}/v1/videos", json=fields).json()
    job = httpx2.get(f"{service.url}/v1/videos/{job['id']}?wait=60", timeout=90).json()
    assert job["status"] == "completed"
    return f"{service.url}/#{job['id']}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video file that was not made here."""
    red_square = place_scene(random.Random(0), "red", "square", "left")
    frames = to_uint8(render([red_square]))[0].numpy()
    return video_of(frames, tmp_path_factory.mktemp("clips") / "holiday.mp4", fps=FPS)


def make_video(page, prompt="a red circle moving left", **options):
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    if options:
        page.locator(".options").evaluate("details => details.open = true")
    for name, value in options.items():
        page.locator(f"#form-video [name={name}]").fill(str(value))
    page.get_by_role("button", name="Make video").click()


def start_long_video(page):
    make_video(page, num_inference_steps=60, seed=1)
    expect(state(page, "in_progress")).to_be_visible()
    expect(page.locator("#frame")).to_have_js_property("naturalWidth", 64)


def shown_job(page):
    return page.url.rpartition("#")[2]


def has_decoded(page):
    """Whether the clip plays: it has a picture and its time goes on."""
    return page.locator("#clip").evaluate(
        """async clip => {
            while (clip.currentTime < 0.2 && !clip.error) await new Promise(requestAnimationFrame);
            return clip.videoWidth > 0 && !clip.error;
        }"""
    )


def test_a_prompt_becomes_a_video_whose_denoising_can_be_watched_and_scrubbed(service, open_page):
    page = open_page(service.url)
    expect(page.locator("#server")).to_have_text("Ready")
    keep_screenshot(page, "start")
    make_video(page, seed=1)
    expect(page.locator("#words .loose").first).to_be_visible()
    expect(page.locator("#frame")).to_have_js_property("naturalWidth", 64)
    keep_screenshot(page, "denoising")
    expect(state(page, "completed")).to_be_visible()
    expect(page.locator("#words")).to_have_text(CAPTION)
    expect(page.locator("#words .loose")).to_have_count(0)
    assert has_decoded(page)
    keep_screenshot(page, "done")
    page.locator("#scrub").fill("0")
    expect(page.locator("#step")).to_have_text("Step 2 of 36")
    expect(page.locator("#words .loose").first).to_be_visible()
    expect(page.locator("#frame")).to_be_visible()
    expect(page.locator("#clip")).not_to_be_visible()
    page.locator("#scrub").press("End")
    expect(page.locator("#clip")).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("#step")).to_have_text("Step 4 of 36")
    expect(page.locator("#step")).to_have_text("The finished clip")


def test_a_finished_video_has_its_caption_as_a_track_its_seed_times_and_files(video_url, open_page):
    page = open_page(video_url)
    expect(state(page, "completed")).to_be_visible()
    cue = page.evaluate(
        """async () => {
            const { track } = document.querySelector("#clip track");
            track.mode = "hidden";
            while (!track.cues?.length) await new Promise(requestAnimationFrame);
            return track.cues[0].text;
        }"""
    )
    assert cue == page.locator("#words").inner_text().removeprefix("Caption").strip()
    expect(page.locator("#facts")).to_contain_text("Seed77")
    expect(page.locator("#facts")).to_contain_text(re.compile(r"denoise \d+\.\d\d s"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Video", exact=True).click()
    assert download.value.suggested_filename == f"{shown_job(page)}.mp4"
    assert download.value.path().read_bytes()[4:8] == b"ftyp"
    page.get_by_role("button", name="Use again").click()
    expect(page.locator("#form-video [name=seed]")).to_have_value("77")


def test_a_dropped_video_is_captioned_and_answers_a_question(service, open_page, clip):
    page = open_page(service.url)
    data = page.evaluate_handle(
        """([bytes]) => {
            const transfer = new DataTransfer();
            const file = new File([new Uint8Array(bytes)], "holiday.mp4", {type: "video/mp4"});
            transfer.items.add(file);
            return transfer;
        }""",
        [list(clip.read_bytes())],
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": data})
    expect(page.locator("#dropping")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": data})
    expect(state(page, "completed")).to_be_visible()
    expect(page.locator("#stage-title")).to_have_text("Caption of holiday.mp4")
    expect(page.locator("#words")).to_have_text(re.compile("red square moves from right to left"))
    assert has_decoded(page)
    caption = shown_job(page)
    page.get_by_label("Ask about this video").fill("what color is the shape ?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#stage[data-kind=answer]")).to_be_visible()
    expect(state(page, "completed")).to_be_visible()
    expect(page.locator("#words")).to_have_text("red")
    assert shown_job(page) != caption
    assert has_decoded(page)
    keep_screenshot(page, "answer")


def test_a_question_about_a_video_made_here_survives_a_reload(video_url, open_page):
    page = open_page(video_url)
    page.get_by_label("Ask about this video").fill("what color is the shape ?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#stage[data-kind=answer]")).to_be_visible()
    expect(page.locator("#words")).to_have_text("red")
    page.reload()
    expect(page.locator("#words")).to_have_text("red")
    assert has_decoded(page)
    video = page.locator(f"#gallery [href='#{video_url.rpartition('#')[2]}']")
    expect(video).to_contain_text("red")
    video.press("Enter")
    expect(page.locator("#stage-title")).to_be_focused()
    expect(page.locator("#words")).to_have_text(CAPTION)


def test_a_file_that_is_no_video_is_told_so(service, open_page, tmp_path):
    (tmp_path / "notes.mp4").write_bytes(b"no video " * 100)
    page = open_page(service.url)
    page.get_by_role("tab", name="Caption a video").click()
    page.get_by_role("button", name="Caption it").click()
    expect(page.locator("#caption-error")).to_have_text("Choose a video first.")
    page.locator("#file").set_input_files(tmp_path / "notes.mp4")
    page.get_by_role("button", name="Caption it").click()
    expect(state(page, "failed")).to_be_visible()
    expect(page.locator("#failure")).to_contain_text("The file is not a readable video")
    expect(page.locator("#screen-note")).to_have_text("This browser cannot show this video.")
    check_accessible(page)
    keep_screenshot(page, "bad-file")


def test_a_value_that_is_not_offered_is_named_where_it_was_typed(service, open_page):
    page = open_page(service.url)
    make_video(page, num_inference_steps=101)
    expect(page.locator("#video-error")).to_have_text(
        "num_inference_steps 101 is over the limit; allowed: 1 to 100."
    )
    expect(page.locator("[name=num_inference_steps]")).to_be_focused()
    make_video(page, prompt=" ")
    expect(page.locator("#video-error")).to_have_text("A prompt is needed.")
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()


def test_a_running_video_is_cancelled(service, open_page):
    page = open_page(service.url)
    start_long_video(page)
    page.locator("#cancel").click()
    expect(state(page, "cancelled")).to_be_visible()
    expect(page.locator("#stage-title")).to_be_focused()
    job = httpx2.get(f"{service.url}/v1/videos/{shown_job(page)}").json()
    assert job["status"] == "cancelled"


def test_a_reload_in_the_middle_goes_on_where_it_was_and_loses_no_preview(service, open_page):
    page = open_page(service.url)
    start_long_video(page)
    page.reload()
    expect(page.locator("#frame")).to_have_js_property("naturalWidth", 64)
    expect(page.locator("#strip img").nth(1)).to_be_attached()  # the newest one would be followed
    page.locator("#scrub").fill("0")
    expect(page.locator("#step")).to_have_text("Step 3 of 60")
    expect(page.locator("#frame")).to_have_js_property("naturalWidth", 64)
    expect(state(page, "completed")).to_be_visible()
    expect(page.locator("#step")).to_have_text("Step 3 of 60")
    assert page.locator("#strip img").count() == 20


def test_a_server_that_dies_in_the_middle_is_missed_and_welcomed_back(service, open_page):
    page = open_page(service.url)
    start_long_video(page)
    with _not_started_again(service):
        _http_process(service).kill()
        expect(page.locator("#banner")).to_contain_text("The server does not answer")
        keep_screenshot(page, "server-gone")
    expect(page.locator("#banner")).to_contain_text("The server is back")
    expect(state(page, "completed")).to_be_visible()
    expect(page.locator("#words")).to_have_text(CAPTION)
    assert page.locator("#strip img").count() == 20


@contextmanager
def _not_started_again(service):
    """A supervisor that stands still: on a fast machine the page would see nothing of a death."""
    service.process.suspend()
    try:
        yield
    finally:
        service.process.resume()


def _http_process(service):
    children: list[psutil.Process] = service.process.children()
    return next(child for child in children if child.cmdline()[1:] == ["-m", "server"])


def test_two_tabs_show_the_same_jobs(service, open_page):
    one = open_page(service.url)
    other = open_page(service.url, context=one.context)
    make_video(one, prompt="a pink cross growing", seed=3)
    card = other.locator("#gallery .card", has=other.locator(f"[href='#{_made(one)}']"))
    expect(card).to_contain_text(re.compile("Video"))
    expect(state(one, "completed")).to_be_visible()
    one.on("dialog", lambda dialog: dialog.accept())
    one.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)
    expect(one.locator("#stage")).not_to_be_visible()


def _made(page):
    expect(page.locator("#stage")).to_be_visible()
    return shown_job(page)


def test_everything_is_reached_by_keyboard(service, open_page):
    page = open_page(service.url)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#compose")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Caption a video")).to_be_focused()
    expect(page.locator("#form-caption")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    expect(page.get_by_role("textbox", name="Prompt")).to_be_focused()
    page.keyboard.type("a red circle moving left")
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text(re.compile("^Done: a .* red"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_copied_commands_do_the_same_again(video_url, open_page, tmp_path):
    page = open_page(video_url, permissions=["clipboard-read", "clipboard-write"])
    expect(state(page, "completed")).to_be_visible()
    caption = page.locator("#words").inner_text()
    page.locator("#code summary").click()
    _run(_copied(page, "curl"), ["bash", "-euc"], tmp_path)
    assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"
    printed = _run(_copied(page, "Python"), [sys.executable, "-c"], tmp_path)
    assert printed.strip() == caption
    page.get_by_label("Ask about this video").fill("what color is the shape ?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#stage[data-kind=answer] #words")).to_have_text("red")
    assert '"text":"red"' in _run(_copied(page, "curl"), ["bash", "-euc"], tmp_path)
    assert _run(_copied(page, "Python"), [sys.executable, "-c"], tmp_path) == "red\n"


def _copied(page, name):
    page.get_by_role("button", name=f"Copy {name}").click()
    expect(page.locator("#announcer")).to_have_text(f"{name} copied")
    return page.evaluate("navigator.clipboard.readText()")


def _run(text, command, folder):
    run = subprocess.run([*command, text], cwd=folder, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_no_accessibility_rule_is_broken_and_nothing_is_cut_off(
    video_url, open_page, scheme, device
):
    viewport = {"desktop": DESKTOP, "phone": PHONE}[device]
    page = open_page(video_url, viewport=viewport, color_scheme=scheme)
    expect(page.locator("#server")).to_have_text("Ready")
    expect(state(page, "completed")).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    keep_screenshot(page, f"{device}-{scheme}")
