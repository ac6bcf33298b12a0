"""The `caption` command with more videos than it makes jobs of, through a server."""

import json
import signal
import subprocess
import sys

import pytest
from batching_house import batches, files
from cli_house import environment, json_rows, univigu, until

from contract.artifacts import ArtifactStore
from contract.records import Status

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.mp4").write_text("bad" if number == 5 else f"number {number}")
    return folder


def test_the_command_sends_a_library_in_batches(live_url, captioner, library, tmp_path):
    index = {"UNIVIGU_INDEX": tmp_path / "captions.db"}
    run = univigu("caption", library, "--url", live_url, "--json", **index)
    rows = json_rows(run)
    assert [row["file"] for row in rows] == [str(path) for path in sorted(library.glob("*.mp4"))]
    assert [row["status"] for row in rows].count("completed") == 39
    assert (library / "07.txt").read_text() == "shows number 7\n"
    assert json.loads((library / "05.error.json").read_text())["error"] == "it is bad"
    assert sum(batch.total for batch in batches(captioner.worker)) == 40
    assert files(live_url) == []


def test_ctrl_c_cancels_the_batches_and_leaves_neither_texts_nor_videos(
    live_url, captioner, library, tmp_path
):
    captioner.is_held = True
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "caption", str(library), "--url", live_url],
        env=environment(tmp_path, UNIVIGU_INDEX=tmp_path / "captions.db"),
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: captioner.records() and len(files(live_url)) == 40, 60)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "interrupted")
    until(lambda: {batch.status for batch in batches(captioner.worker)} == {"cancelled"})
    assert {record.status for record in captioner.records()} == {Status.CANCELLED}
    assert files(live_url) == []
    assert sorted(path.name for path in library.iterdir()) == [f"{n:02}.mp4" for n in range(40)]


def test_the_store_keeps_no_video_of_a_library(
    live_url, captioner, library, server_settings, tmp_path
):
    univigu("caption", library, "--url", live_url, UNIVIGU_INDEX=tmp_path / "captions.db")
    store = ArtifactStore(server_settings.artifacts_url)
    assert not [key for key in store.list("") if b"number" in store.get(key)[:6]]
