"""The whole service as one command: both kinds of job, deaths, and an end that leaves nothing."""

import signal
import socket

import httpx2
import psutil
import pytest
from cli_house import Service, json_rows, univigu, until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def service(tiny_checkpoint, tmp_path_factory):
    """One service for the tests that leave it running."""
    service = Service(tmp_path_factory.mktemp("serve"), tiny_checkpoint)
    yield service
    service.close()


@pytest.fixture
def own_service(tiny_checkpoint, tmp_path):
    """A service that the test may end."""
    service = Service(tmp_path, tiny_checkpoint)
    yield service
    service.close()


def start_long_video(service):
    """Return the id of a job that is in progress and will be for a while."""
    fields = {"prompt": "x", "num_inference_steps": 100}
    job = httpx2.post(f"{service.url}/v1/videos", json=fields).json()
    path = f"{service.url}/v1/videos/{job['id']}"
    until(lambda: httpx2.get(path).json()["status"] == "in_progress")
    return job["id"]


def test_it_says_where_it_is_ready_and_with_which_checkpoint(service):
    line = service.wait_for_line("ready: ")
    assert line.startswith(f"ready: {service.url} serves tiny@")
    assert httpx2.get(f"{service.url}/readyz").status_code == 200


def test_a_server_and_the_command_alone_make_the_same_video_and_the_same_captions(
    service, tiny_checkpoint, tmp_path
):
    places = {"server": ["--url", service.url], "alone": ["--checkpoint", tiny_checkpoint]}
    made, told = {}, {}
    for name, place in places.items():
        out = tmp_path / name
        options = ["--seed", 5, "--num-inference-steps", 3, "--json", "--out", out, *place]
        made[name] = univigu("generate", "a red circle", *options)
        video = tmp_path / "server" / "a-red-circle-seed5.mp4"
        told[name] = univigu("caption", video, "--out", out, "--json", *place)
    (one,), (other,) = (json_rows(made[name]) for name in places)
    assert (one["status"], one["seed"], one["error"]) == ("completed", 5, None)
    assert one["caption"]
    assert one | {"video": None} == other | {"video": None}
    assert one["video"] == str(tmp_path / "server" / "a-red-circle-seed5.mp4")
    videos = [tmp_path / name / "a-red-circle-seed5.mp4" for name in places]
    assert videos[0].read_bytes() == videos[1].read_bytes()
    assert json_rows(told["server"]) == json_rows(told["alone"])
    assert [run.returncode for run in (*made.values(), *told.values())] == [0, 0, 0, 0]


def test_a_server_captions_what_is_a_video_and_names_what_is_not(service, tmp_path):
    out = tmp_path / "videos"
    assert univigu("generate", "x", "--out", out, "--url", service.url).returncode == 0
    (out / "broken.mp4").write_bytes(b"no video " * 100)
    run = univigu(
        "caption", out, "--formats", "txt,srt", "--json", "--out", out, UNIVIGU_URL=service.url
    )
    broken, whole = json_rows(run)
    assert (broken["file"], broken["status"]) == (str(out / "broken.mp4"), "failed")
    assert broken["text"] is None
    assert "not a readable video" in broken["error"]
    assert whole["status"] == "completed"
    assert (out / "x-seed0.txt").read_text() == whole["text"] + "\n"
    assert whole["text"] in (out / "x-seed0.srt").read_text()
    assert run.returncode == 1
    names = {path.name for path in out.iterdir()}
    assert names == {
        "broken.error.json",
        "broken.mp4",
        "x-seed0.mp4",
        "x-seed0.srt",
        "x-seed0.txt",
    }


def test_an_option_that_the_checkpoint_does_not_take_is_a_bad_option(service, tmp_path):
    options = ["--num-inference-steps", 101, "--out", tmp_path, "--url", service.url]
    run = univigu("generate", "x", *options)
    assert run.returncode == 2
    assert "num_inference_steps 101 is over the limit; allowed: 1 to 100" in run.stderr


def test_a_taken_port_is_refused_before_anything_is_started(tiny_checkpoint, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        place = ["--port", port, "--data-dir", tmp_path / "data"]
        run = univigu("serve", *place, "--checkpoint", tiny_checkpoint)
    assert run.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in run.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_service_on_the_same_data_is_refused(service, tiny_checkpoint):
    place = ["--port", 0, "--data-dir", service.data, "--checkpoint", tiny_checkpoint]
    run = univigu("serve", *place)
    assert run.returncode == 2
    assert f"is in use by process {service.process.pid}" in run.stderr
    assert httpx2.get(f"{service.url}/readyz").status_code == 200


@pytest.mark.parametrize("victim", ["valkey-server", "server"])
def test_a_killed_part_comes_back_and_jobs_go_on(service, tmp_path, victim):
    dead = service.child(victim) if victim != "server" else _http_process(service)
    dead.kill()
    service.wait_for_line(
        "the embedded Redis has died" if victim == "valkey-server" else "the HTTP process has died"
    )
    until(lambda: _is_ready(service.url), 60)
    run = univigu("generate", "x", "--out", tmp_path, "--url", service.url, "--json")
    assert [(row["status"], row["error"]) for row in json_rows(run)] == [("completed", None)]


def _is_ready(url):
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def _http_process(service):
    return next(p for p in service.process.children() if p.cmdline()[1:] == ["-m", "server"])


def test_ctrl_c_in_the_middle_of_a_job_leaves_no_process_and_no_file(own_service):
    start_long_video(own_service)
    family = own_service.family()
    assert own_service.interrupt() == 0
    assert [process for process in family if process.is_running()] == []
    assert [path.name for path in own_service.temporary.iterdir()] == []
    assert own_service.lines[-1] == "stopping"


def test_a_killed_service_takes_all_its_processes_along(own_service):
    family = own_service.family()
    own_service.process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(family, 30)
    assert alive == []
