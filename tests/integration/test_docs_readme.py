"""The README's curl commands, run as they stand against a live service."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from cli_house import Service

README = Path(__file__).parents[2] / "README.md"
PRINTED_URL = "http://127.0.0.1:8000"
ID = re.compile(r'"id": ?"((video|caption)_\w+)"')


def _curl_blocks() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    return [block for block in blocks if "curl" in block]


def _wait(url: str, job_id: str, kind: str) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job: dict[str, object] = httpx2.get(f"{url}/v1/{kind}s/{job_id}").json()
        if job["status"] not in ("queued", "in_progress"):
            return job
        time.sleep(0.2)
    raise AssertionError(f"{job_id} did not end")


def _run_blocks(url: str, folder: Path) -> list[str]:
    """Run the blocks in order, each after the jobs of the one before it have ended."""
    ids = {"video": "", "caption": ""}
    outputs = []
    for block in _curl_blocks():
        command = block.replace(PRINTED_URL, url)
        for kind, job_id in ids.items():
            command = command.replace(f"{kind.upper()}_ID", job_id)
        run = subprocess.run(
            ["bash", "-euc", command], cwd=folder, capture_output=True, text=True, check=True
        )
        outputs.append(run.stdout)
        for job_id, kind in ID.findall(run.stdout):
            ids[kind] = job_id
            job = _wait(url, job_id, kind)
            assert job["status"] == "completed", job
    return outputs


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_curl_examples_work_as_printed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    service = Service(tmp_path, tiny_checkpoint)
    try:
        outputs = _run_blocks(service.url, tmp_path)
    finally:
        service.close()
    created, fetched, asked, answered = outputs
    assert '"status":"queued"' in created.replace(" ", "")
    assert '"status":"completed"' in fetched.replace(" ", "")
    assert (tmp_path / "video.mp4").read_bytes()[4:8] == b"ftyp"
    assert len(ID.findall(asked)) == 2
    assert '"text":' in answered
