"""The processes of the service one by one, as they run on machines of their own."""

import subprocess
import sys

import httpx2
import pytest
from cli_house import environment, free_port, json_rows, univigu, until

pytestmark = pytest.mark.timeout(180)


def test_api_worker_and_janitor_started_apart_do_a_job_together(
    redis_url, tiny_checkpoint, tmp_path
):
    port = free_port()
    (tmp_path / "t").mkdir()
    variables = {
        "UNIVIGU_REDIS_URL": redis_url,
        "UNIVIGU_DATA_DIR": tmp_path / "data",
        "UNIVIGU_PORT": port,
        "UNIVIGU_API_KEYS": "secret",
        "UNIVIGU_CHECKPOINT": tiny_checkpoint,
        "UNIVIGU_GENERATE_SLOTS": 1,
        "UNIVIGU_UNDERSTAND_SLOTS": 0,
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "cli.main", name], env=environment(tmp_path / "t", **variables)
        )
        for name in ("api", "worker", "janitor")
    ]
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: _is_ready(url), 120)
        refused = univigu("generate", "x", "--out", tmp_path / "o", "--url", url)
        made = univigu(
            *("generate", "x", "--out", tmp_path / "o", "--url", url, "--json"),
            UNIVIGU_API_KEY="secret",
        )
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(60) for process in processes]
    assert refused.returncode == 2
    assert "no API key was given" in refused.stderr
    assert [row["status"] for row in json_rows(made)] == ["completed"]
    assert codes[1:] == [0, 0]
    assert codes[0] in (0, -15)
    assert [*(tmp_path / "t").iterdir()] == []


def _is_ready(url):
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False
