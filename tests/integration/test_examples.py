"""Every example runs as it stands, against a real server whose worker has a stand-in model."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import redis
from server_apps import serving
from video_files import numbered_video
from worker_house import House

from server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def url(redis_server, tmp_path_factory):
    """A server with its worker, for all examples."""
    folder = tmp_path_factory.mktemp("service")
    with redis.Redis.from_url(redis_server.url) as connection:
        connection.flushall()
    slots = {"generate_slots": 1, "understand_slots": 1}
    with closing(House(redis_server.url, folder, data_dir=folder, **slots)) as house:
        house.start()
        with serving(ServerSettings(redis_url=redis_server.url, data_dir=folder, port=0)) as url:
            yield url


@pytest.fixture
def run(url, tmp_path):
    """Run an example in a folder of its own; gives what it prints."""

    def call(program, name, *arguments):
        return subprocess.run(
            [program, EXAMPLES / name, *arguments],
            cwd=tmp_path,
            env=os.environ | {"UNIVIGU_URL": url, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout.splitlines()

    call.folder = tmp_path
    return call


@pytest.fixture
def clip(tmp_path):
    return numbered_video(tmp_path / "clip.mp4", count=20)


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program}")


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (sys.executable, "make_video.py"),
        (sys.executable, "openai_video.py"),
        pytest.param("bash", "make_video.sh", marks=needs("curl")),
    ],
)
def test_a_video_is_made_and_downloaded(run, program, name):
    printed = run(program, name, "a red circle")
    assert printed[-1] == "caption of a red circle"
    assert (run.folder / "video.mp4").read_bytes() == b"a video of a red circle"


def test_a_video_is_followed_while_it_is_made(run):
    types = [line.split()[0] for line in run(sys.executable, "follow_video.py", "a red circle")]
    assert types[0] == "queued"
    assert types.count("progress") >= 4
    assert types[-1] == "completed"


def test_many_videos_are_captioned_and_a_bad_one_says_why(run, clip, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    paths = [str(clip), str(tmp_path / "bad.mp4"), "gone.mp4"]
    told = dict(line.split(": ", 1) for line in run(sys.executable, "caption_videos.py", *paths))
    assert told[paths[0]].startswith("uint8 (")
    assert told[paths[1]].startswith("error: the file is not a readable video")
    assert told[paths[2]].startswith("error: [Errno 2]")


@needs("node")
def test_javascript_makes_a_video_and_captions_a_file(run, clip):
    printed = run("node", "make_video.mjs", "a red circle", clip)
    assert printed[0] == "completed caption of a red circle"
    assert printed[1].startswith("completed uint8 (")
    assert (run.folder / "video.mp4").read_bytes() == b"a video of a red circle"


def test_the_snippets_of_the_page_about_the_client_run(run, url, tmp_path):
    snippets = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL
    )
    script = "\n\n".join(snippets).replace("http://127.0.0.1:8000", url)
    (tmp_path / "page.py").write_text(script)
    assert len(snippets) == 3
    assert run(sys.executable, tmp_path / "page.py")[-1] == "caption of a blue square"
    assert (tmp_path / "video.vtt").read_text().startswith("WEBVTT")


def test_every_example_is_tried_here():
    tried = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.iterdir() if f'"{path.name}"' not in tried] == []
