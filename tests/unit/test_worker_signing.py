"""Videos that say, signed, that they were generated: read back as anybody would."""

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from signing_chains import new_chain, read_manifest
from video_files import numbered_frames, numbers_of

from worker.settings import WorkerSettings
from worker.signing import SigningError, VideoSigner, read_signer
from worker.video_io import encode_mp4, read_clip

CAPTION, METADATA = "a red ball", {"generator": "Uni-ViGU", "seed": 7}
SEED = 2**63 - 1
KEYS = {
    "EC P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EC P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    frames = numbered_frames(9, 48, 64)
    encode_mp4([frames], path, num_frames=9, fps=8, caption=CAPTION, metadata=METADATA)
    return path


def signer(chain) -> VideoSigner:
    return VideoSigner(chain.certificate_file, chain.key_file)


def boxes(path: Path) -> list[str]:
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4])
    return names


@pytest.mark.parametrize("kind", KEYS)
def test_a_reader_finds_what_made_the_video_and_that_it_was_not_changed(
    video: Path, tmp_path: Path, kind: str
) -> None:
    chain = new_chain(tmp_path, KEYS[kind]())
    signer(chain).check()
    signer(chain).sign(video, "moving-shapes@01", SEED)
    state, manifest = read_manifest(video, chain.root)
    assert state == "Trusted"
    (generator,) = manifest["claim_generator_info"]
    assert (generator["name"], generator["checkpoint"], generator["seed"]) == (
        "univigu",
        "moving-shapes@01",
        SEED,
    )
    (actions,) = (
        found["data"]["actions"]
        for found in manifest["assertions"]
        if found["label"].startswith("c2pa.actions")
    )
    assert [action["action"] for action in actions] == ["c2pa.created"]
    assert actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert actions[0]["softwareAgent"] == {"name": "Uni-ViGU", "version": "moving-shapes@01"}
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["video.mp4"]


def test_it_plays_as_before_and_says_what_it_said(video: Path, tmp_path: Path) -> None:
    before = read_clip(video, num_frames=9, height=48, width=64)
    signer(new_chain(tmp_path)).sign(video, "moving-shapes@01", SEED)
    after = read_clip(video, num_frames=9, height=48, width=64)
    assert numbers_of(after.frames) == list(range(9))
    assert (after.frames == before.frames).all()
    with av.open(video) as container:
        assert container.metadata["title"] == CAPTION
        assert json.loads(container.metadata["comment"]) == METADATA
        assert {stream.type for stream in container.streams} == {"video", "subtitle"}
    names = boxes(video)
    assert names.index("uuid") < names.index("moov") < names.index("mdat")  # it still starts fast


def test_a_stranger_sees_a_whole_video_of_an_unknown_signer(video: Path, tmp_path: Path) -> None:
    signer(new_chain(tmp_path)).sign(video, "moving-shapes@01", SEED)
    other = tmp_path / "other"
    other.mkdir()
    assert read_manifest(video, new_chain(other).root)[0] == "Valid"


@pytest.mark.parametrize("box", ["mdat", "moov", "uuid"])
def test_a_changed_bit_is_seen(video: Path, tmp_path: Path, box: str) -> None:
    chain = new_chain(tmp_path)
    signer(chain).sign(video, "moving-shapes@01", SEED)
    data = bytearray(video.read_bytes())
    word = b"univigu" if box == "uuid" else CAPTION.encode() if box == "moov" else b"mdat"
    data[data.index(word) + len(word) - 1 + 20 * (box == "mdat")] ^= 1
    video.write_bytes(data)
    assert read_manifest(video, chain.root)[0] == "Invalid"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"days": (-2, -1)}, "not valid at time of signing"),
        ({"days": (1, 2)}, "not valid at time of signing"),
        ({"usage": ExtendedKeyUsageOID.SERVER_AUTH}, "certificate is invalid"),
        ({"password": b"secret"}, "assword"),
        ({"key": ec.generate_private_key(ec.SECP256K1())}, "allowed: EC P-256"),
    ],
)
def test_what_cannot_sign_is_told_at_the_start_and_signs_nothing(
    video: Path, tmp_path: Path, what: dict, why: str
) -> None:
    chain, before = new_chain(tmp_path, **what), video.read_bytes()
    with pytest.raises(ValueError, match=f"UNIVIGU_C2PA_KEY_FILE .*{why}"):
        signer(chain).check()
    with pytest.raises(SigningError, match=why):
        signer(chain).sign(video, "moving-shapes@01", SEED)
    assert video.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["video.mp4"]


def test_certificate_and_key_have_to_belong_together(tmp_path: Path) -> None:
    chain, other = new_chain(tmp_path), tmp_path / "other"
    other.mkdir()
    mixed = VideoSigner(chain.certificate_file, new_chain(other).key_file)
    with pytest.raises(ValueError, match="does not match"):
        mixed.check()


@pytest.mark.parametrize("name", ["certificate_file", "key_file"])
@pytest.mark.parametrize("state", ["replaced", "written in part", "away"])
def test_signing_waits_for_the_second_file_of_a_new_pair(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, state: str
) -> None:
    chain, other = new_chain(tmp_path), tmp_path / "other"
    other.mkdir()
    file, good = getattr(chain, name), getattr(chain, name).read_bytes()
    old = getattr(new_chain(other), name).read_bytes()
    file.write_bytes({"replaced": old, "written in part": good[:60], "away": b""}[state])
    if state == "away":
        file.unlink()
    monkeypatch.setattr("worker.signing.time.sleep", lambda _: file.write_bytes(good))
    signer(chain).sign(video, "moving-shapes@01", SEED)
    assert read_manifest(video, chain.root)[0] == "Trusted"


def test_a_pair_that_never_matches_signs_nothing(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.signing._REPLACING_SECONDS", 0.1)
    chain, other = new_chain(tmp_path), tmp_path / "other"
    other.mkdir()
    mixed = VideoSigner(chain.certificate_file, new_chain(other).key_file)
    with pytest.raises(SigningError, match="does not match"):
        mixed.sign(video, "moving-shapes@01", SEED)


@pytest.mark.parametrize("name", ["certificate_file", "key_file"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    chain = new_chain(tmp_path)
    getattr(chain, name).unlink()
    with pytest.raises(ValueError, match=rf"UNIVIGU_C2PA_\w+ \S*{getattr(chain, name).name}"):
        signer(chain).check()


def test_a_key_of_the_older_form_serves(video: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = new_chain(tmp_path, key)
    older = serialization.PrivateFormat.TraditionalOpenSSL
    form = (serialization.Encoding.PEM, older, serialization.NoEncryption())
    chain.key_file.write_bytes(key.private_bytes(*form))
    signer(chain).sign(video, "moving-shapes@01", SEED)
    assert read_manifest(video, chain.root)[0] == "Trusted"


@pytest.mark.parametrize(("given", "missing"), [("key", "CERTIFICATE"), ("certificate", "KEY")])
def test_certificate_and_key_are_set_together(tmp_path: Path, given: str, missing: str) -> None:
    with pytest.raises(ValueError, match=f"UNIVIGU_C2PA_{missing}_FILE is not set"):
        WorkerSettings(**{f"c2pa_{given}_file": tmp_path / "x.pem"})


def test_nothing_is_signed_unless_asked_for() -> None:
    assert read_signer(WorkerSettings()) is None


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_nothing_is_imported_before_a_certificate_is_configured() -> None:
    code = "import sys, worker.slot, worker.supervisor; print('c2pa' in sys.modules)"
    assert run(code) == "False"


def test_without_the_extra_it_is_named(tmp_path: Path) -> None:
    chain = new_chain(tmp_path)
    paths = f"Path({str(chain.certificate_file)!r}), Path({str(chain.key_file)!r})"
    code = (
        "import sys\nfrom pathlib import Path\nfrom worker.signing import VideoSigner\n"
        f"sys.modules['c2pa'] = None\ntry: VideoSigner({paths}).check()\n"
        "except ValueError as error: print(error)"
    )
    assert "extra c2pa" in run(code)
