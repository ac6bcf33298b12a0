"""A worker with a certificate signs every video of its jobs, or hands none out."""

import subprocess
import sys

import pytest
from signing_chains import new_chain, read_manifest
from worker_house import House

from contract.artifacts import job_folder
from contract.engine_status import read_capabilities
from contract.records import Status
from worker.video_io import probe

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


@pytest.fixture(scope="module")
def chain(folder):
    return new_chain(folder)


@pytest.fixture(scope="module")
def house(redis_server, folder, tiny_checkpoint, chain):
    house = House(
        redis_server.url.removesuffix("/0") + "/8",
        folder,
        checkpoint=tiny_checkpoint,
        device="cpu",
        num_threads=1,
        generate_slots=1,
        understand_slots=1,
        memory_bytes=512 << 20,
        c2pa_certificate_file=chain.certificate_file,
        c2pa_key_file=chain.key_file,
    )
    house.start(["-m", "worker"])
    yield house
    house.close()


@pytest.fixture(scope="module")
def can(house):
    return read_capabilities(house.redis)


@pytest.fixture
def make(house, can):
    """A function that asks for a video of the checkpoint's own size."""
    height, width = can.sizes[0]
    shape = {"height": height, "width": width, "num_frames": can.default_num_frames}
    return lambda: house.generate(steps=2, fps=can.fps, **shape)


def test_the_video_of_a_job_is_signed_and_can_be_captioned(house, can, make, chain, tmp_path):
    record = house.completed(make())
    key = record.result.artifacts["video"]
    video = tmp_path / "video.mp4"
    video.write_bytes(house.artifacts.get(key))
    state, manifest = read_manifest(video, chain.root)
    assert state == "Trusted"
    (generator,) = manifest["claim_generator_info"]
    assert (generator["checkpoint"], generator["seed"]) == (can.checkpoint, record.result.seed)
    assert probe(video).frame_count == can.default_num_frames
    assert house.completed(house.understand(key)).result.text is not None


def test_a_video_that_cannot_be_signed_is_not_handed_out(house, make, chain, tmp_path):
    good = chain.key_file.read_bytes()
    chain.key_file.write_bytes(new_chain(tmp_path).key_file.read_bytes())
    try:
        record = house.ended(make())
    finally:
        chain.key_file.write_bytes(good)
    assert (record.status, record.error.code) == (Status.FAILED, "signing_failed")
    assert str(chain.key_file.parent) not in record.error.message
    assert record.attempt == 1
    assert house.artifacts.list(job_folder(record.id)) == []
    # the files are read for every video: a renewed certificate needs no restart
    house.completed(make())


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_certificate_that_cannot_sign_ends_the_start(house, folder, command, tmp_path):
    bad = new_chain(tmp_path, days=(-2, -1))
    variables = {
        "UNIVIGU_C2PA_CERTIFICATE_FILE": str(bad.certificate_file),
        "UNIVIGU_C2PA_KEY_FILE": str(bad.key_file),
        "UNIVIGU_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", command],
        env=house.environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "UNIVIGU_C2PA_CERTIFICATE_FILE" in done.stderr
    assert "not valid at time of signing" in " ".join(done.stderr.split())
