"""`univigu doctor` says what is there, what is not, and what to do about it."""

import re
import shutil
import socket
import subprocess

import pytest
from cli_house import json_rows, univigu
from signing_chains import new_chain
from typer.testing import CliRunner

from cli import checkups
from cli.all_in_one import ServeSettings
from cli.main import app
from worker.settings import shipped_checkpoint


@pytest.fixture
def settings(tmp_path):
    """Settings of a service that would work."""

    def make(**changes):
        return ServeSettings(
            **{"data_dir": tmp_path / "data", "port": 0, "device": "cpu"} | changes
        )

    return make


@pytest.mark.parametrize("check", checkups.CHECKS)
def test_all_is_well_here_and_nothing_is_left_behind(check, settings, tmp_path):
    finding = check(settings())
    assert (finding.status, finding.advice) == ("ok", None)
    assert [*tmp_path.iterdir()] == []


def test_a_redis_that_is_there_is_named_without_its_password(settings, redis_url):
    finding = checkups.check_redis(settings(redis_url=redis_url))
    assert finding.status in ("ok", "warning")
    assert " at 127.0.0.1:" in finding.found
    assert "@" not in finding.found


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:9/0", "amqp://host"])
def test_a_redis_that_is_not_there_fails(settings, url):
    finding = checkups.check_redis(settings(redis_url=url))
    assert finding.status == "failed"
    assert "UNIVIGU_REDIS_URL" in finding.advice
    assert "secret" not in finding.found


def test_a_certificate_that_signs_is_named_and_one_that_has_expired_fails(settings, tmp_path):
    def check(chain):
        files = {"certificate": chain.certificate_file, "key": chain.key_file}
        return checkups.check_signing(
            settings(**{f"c2pa_{name}_file": path for name, path in files.items()})
        )

    finding = check(new_chain(tmp_path))
    assert (finding.status, "chain.pem" in finding.found) == ("ok", True)
    finding = check(new_chain(tmp_path, days=(-2, -1)))
    assert (finding.status, "not valid at time of signing" in finding.found) == ("failed", True)


def test_a_missing_gpu_is_a_warning_and_one_that_was_named_a_failure(settings):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert checkups.check_device(settings(device="auto")).status == "warning"
    finding = checkups.check_device(settings(device="cuda:1"))
    assert (finding.status, finding.found[:7]) == ("failed", "cuda:1:")


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///dev/null/x"])
def test_a_store_that_takes_no_file_fails(settings, url):
    finding = checkups.check_storage(settings(storage_url=url))
    assert finding.status == "failed"
    assert finding.found.startswith(url)


def test_a_real_bucket_is_written_to(settings, s3_server, monkeypatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3_server.new_bucket()}/x"
    assert checkups.check_storage(settings(storage_url=url)).status == "ok"


def test_a_disk_that_is_nearly_full_is_a_warning(settings, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert checkups.check_storage(settings()).status == "warning"


def test_a_checkpoint_that_lacks_a_part_fails(settings, tmp_path):
    folder = tmp_path / "checkpoint"
    finding = checkups.check_checkpoint(settings(checkpoint=folder))
    assert (finding.status, "model_index.json" in finding.found) == ("failed", True)
    shutil.copytree(shipped_checkpoint(), folder)
    shutil.rmtree(folder / "vae")
    finding = checkups.check_checkpoint(settings(checkpoint=folder))
    assert finding.found == f"{folder} lacks vae"


def test_an_encoder_that_does_not_run_fails(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/true")
    assert "no encoder libx264" in checkups.check_ffmpeg(settings()).found
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(OSError("not executable"))
    )
    assert checkups.check_ffmpeg(settings()).status == "failed"


def test_a_taken_port_is_a_warning(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finding = checkups.check_port(settings(port=taken.getsockname()[1]))
    assert finding.status == "warning"
    assert "--port" in finding.advice


@pytest.mark.timeout(180)
def test_the_command_says_it_in_json_and_by_its_exit_code(tmp_path):
    run = univigu("doctor", "--json", "--checkpoint", tmp_path, UNIVIGU_DATA_DIR=tmp_path / "data")
    rows = {row["check"]: row for row in json_rows(run)}
    assert [*rows] == [check.__name__.removeprefix("check_") for check in checkups.CHECKS]
    assert (rows["checkpoint"]["status"], run.returncode) == ("failed", 1)


def test_people_read_a_line_for_each_check(monkeypatch, tmp_path):
    monkeypatch.setenv("UNIVIGU_DATA_DIR", str(tmp_path / "data"))
    run = CliRunner().invoke(app, ["doctor", "--checkpoint", str(tmp_path)])
    assert run.exit_code == 1
    assert re.search(r"^FAILED +checkpoint +.*model_index\.json", run.output, re.MULTILINE)
    assert re.search(r"^ok +python +Python 3\.", run.output, re.MULTILINE)
