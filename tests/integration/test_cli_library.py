"""A whole library is captioned by a command that is killed twice, and nothing is done twice.

The full size of 1,000 files is marked as slow: `pytest -m slow -k library`.
"""

import json
import signal
import subprocess
import sys
from contextlib import closing

import httpx2
import pytest
from cli_house import environment, json_rows, univigu, until
from library_house import make_library
from worker_house import House

FORMATS = "txt,srt"
SECONDS_PER_FILE = 20


@pytest.fixture
def served(server_settings, live_url, tmp_path):
    """A server whose worker is real but for the model; gives its address and its job store."""
    slots = {"generate_slots": 1, "understand_slots": 2}
    with closing(House(server_settings.redis_url, tmp_path, data_dir=tmp_path, **slots)) as house:
        house.start()
        yield live_url, house.jobs


def texts_of(folder):
    """Return when each text was written."""
    suffixes = (".txt", ".srt", ".json")
    # beside it the command has folders that come and go
    files = [path for path in (folder / "library").rglob("*") if path.suffix in suffixes]
    return {path: path.stat().st_mtime_ns for path in files}


def kill_after(folder, number, arguments, variables):
    """Run the command until `number` videos have their texts, and kill it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        env=environment(folder, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        seconds = number * SECONDS_PER_FILE
        until(lambda: len(texts_of(folder)) >= number or process.poll() is not None, seconds)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return texts_of(folder)


def caption_killed_twice(folder, size, place, in_flight):
    """Caption a library; return its good and its broken files and what the last call has said."""
    good, broken = make_library(folder, size)
    options = ["--formats", FORMATS, "--resume", "--json", "--errors", str(folder / "errors.jsonl")]
    arguments = ["caption", str(folder / "library"), *options, *place]
    variables = {"UNIVIGU_INDEX": folder / "captions.db"}
    first = kill_after(folder, size // 3, arguments, variables)
    second = kill_after(folder, size, arguments, variables)
    last = univigu(*arguments, seconds=size * SECONDS_PER_FILE, **variables)
    assert last.returncode == 1, last.stderr
    texts = texts_of(folder)
    for before in (first, second):
        # killed before it could be noted, a text is written again, from the index
        again = {path.stem for path, written_at in before.items() if texts[path] != written_at}
        assert len(again) <= in_flight
    assert len(first) < len(second) < len(texts)
    return good, broken, json_rows(last)


def check_all_is_told(folder, good, broken, rows):
    statuses = {row["file"]: row["status"] for row in rows}
    assert {name for name, status in statuses.items() if status == "failed"} == {*map(str, broken)}
    assert statuses.keys() == {*map(str, [*good, *broken])}
    for path in good:
        assert path.with_suffix(".txt").read_text().strip()
        assert "-->" in path.with_suffix(".srt").read_text()
    for path in broken:
        assert not path.with_suffix(".txt").exists()
        assert json.loads(path.with_name(f"{path.stem}.error.json").read_text())["error"]
    report = [json.loads(line) for line in (folder / "errors.jsonl").read_text().splitlines()]
    assert {row["file"] for row in report} == {*map(str, broken)}
    assert [path for path in folder.rglob("*") if path.name.endswith(".partial")] == []


@pytest.mark.timeout(0)
@pytest.mark.parametrize("size", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_through_a_server(served, tmp_path, size):
    url, jobs = served
    folder = tmp_path / "media"
    folder.mkdir()
    in_flight = min(64, size // 4)
    place = ["--url", url, "--jobs", str(in_flight)]
    good, broken, rows = caption_killed_twice(folder, size, place, in_flight)
    check_all_is_told(folder, good, broken, rows)
    # what a killed call had no time to delete goes by itself
    left = httpx2.get(f"{url}/v1/files", params={"purpose": "user_data"}).json()["data"]
    assert len(left) <= 2 * in_flight
    assert all(file["expires_at"] for file in left)
    # one job for each content, started once; an empty file is refused before it becomes one
    records = jobs.get_many(jobs.list_ids("understand", 2 * size, None, newest_first=True))
    assert len(records) == len({path.read_bytes() for path in [*good, *broken]} - {b""})
    assert {record.attempt for record in records} == {1}
    found = univigu(
        "search", "mean", "--json", "--limit", 5000, UNIVIGU_INDEX=folder / "captions.db"
    )
    assert {row["file"] for row in json_rows(found)} == {*map(str, good)}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("size", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_in_one_process(tiny_checkpoint, tmp_path, size):
    folder = tmp_path / "media"
    folder.mkdir()
    place = ["--checkpoint", str(tiny_checkpoint)]
    good, broken, rows = caption_killed_twice(folder, size, place, in_flight=1)
    check_all_is_told(folder, good, broken, rows)
