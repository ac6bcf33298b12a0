"""Real clips as training data: manifests, shards, the cache, and what is left out and said."""

import io
import json
import shutil
import tarfile
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model import UniViGUPipeline
from model.checkpoint import fingerprint
from model.training.clip_file import decode_clip
from model.training.manifest import Entry, Skipped, read_entries
from model.training.run import run_stage

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

CONFIG = """
folder = "{folder}/runs"
checkpoint = "{checkpoint}"

[data]
sources = ["{source}"]
cache = "{folder}/cache"
num_frames = 5
height = 64
width = 64

[{stage}]
num_steps = 1
batch_size = 2
"""


def video(frames=9, height=64, width=64, brightness=None):
    """Return an MP4 whose frame i has the gray level `brightness[i]`, 20 i by default."""
    levels = brightness or [20 * i for i in range(frames)]
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(16))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for level in levels:
            pixels = np.full((height, width, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return content.getvalue()


def write_manifest(folder, lines):
    path = folder / "clips.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def write_shard(path, samples):
    with tarfile.open(path, "w") as shard:
        for name, content in samples:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def line(name, **fields):
    words = {"prompt": "a red circle", "caption": "a red circle moves left."}
    return {"video": name, "split": "train"} | words | fields


def train_stage(folder, checkpoint, source, stage="recall", options=""):
    config = folder / "config.toml"
    text = CONFIG.format(folder=folder, checkpoint=checkpoint, source=source, stage=stage)
    config.write_text(text + options)
    return run_stage(stage, config)


def skipped(out):
    return [json.loads(row) for row in (out / "skipped.jsonl").read_text().splitlines()]


def test_frames_are_spread_over_the_whole_clip():
    frames = decode_clip(video(9), 5, 32, 48)
    assert frames.shape == (5, 32, 48, 3)
    assert frames.dtype == torch.uint8
    levels = frames.float().mean((1, 2, 3))
    torch.testing.assert_close(levels, torch.tensor([0.0, 40, 80, 120, 160]), atol=4, rtol=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"no video at all", "cannot be decoded"), (video(3), "has 3 frames; the run takes 5")],
)
def test_a_clip_that_cannot_be_used_is_refused(content, words):
    with pytest.raises(ValueError, match=words):
        decode_clip(content, 5, 64, 64)


def test_a_manifest_s_videos_lie_beside_it_or_behind_a_url(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"beside")
    (tmp_path / "b c.mp4").write_bytes(b"behind")
    url = f"file://{tmp_path}/b c.mp4"
    manifest = write_manifest(tmp_path, [line("a.mp4"), "", line(url, split="val", caption=None)])
    first, second = read_entries(str(manifest))
    assert (first.read(), second.read()) == (b"beside", b"behind")
    assert (first.place, second.place) == (f"{manifest} line 1", f"{manifest} line 3")
    assert (second.split, second.caption) == ("val", None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "Expecting property name"),
        ("[1]", "is not a JSON object"),
        (line(""), "video '': must be a text that is not empty"),
        (line("a.mp4", prompt=3), "prompt 3: must be a text"),
        (line("a.mp4", caption=" "), "caption ' ': must be a text"),
        (line("a.mp4", split="all"), "split 'all': must be one of train, val, test"),
    ],
)
def test_a_bad_line_is_named_and_ends_nothing(tmp_path, row, words):
    manifest = write_manifest(tmp_path, [row, line("a.mp4")])
    bad, good = read_entries(str(manifest))
    assert isinstance(bad, Skipped)
    assert bad.place == f"{manifest} line 1"
    assert words in bad.error
    assert isinstance(good, Entry)


def test_a_shard_pairs_videos_with_their_words(tmp_path):
    words = json.dumps({"prompt": "a red circle", "caption": None}).encode()
    members = [("x/1.mp4", b"one"), ("x/1.json", words), ("x/2.json", words), ("x/3.MP4", b"three")]
    members += [("x/3.json", words)]
    one, alone, three = read_entries(str(write_shard(tmp_path / "clips.tar", members)))
    assert (one.read(), three.read()) == (b"one", b"three")
    assert alone == Skipped(f"{tmp_path}/clips.tar sample x/2", "needs one video and one .json")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clips.csv", r"must end in \.jsonl or \.tar"),
        ("none.jsonl", "No such file"),
        ("bad.tar", "bad.tar"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path, name, words):
    (tmp_path / "bad.tar").write_bytes(b"not a tar archive")
    with pytest.raises(ValueError, match=words):
        list(read_entries(str(tmp_path / name)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_checkpoint):
    """A folder, a manifest with good and bad lines, and the stage trained on it."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "a.mp4").write_bytes(video())
    (folder / "b.mp4").write_bytes(video(brightness=[200] * 9))
    (folder / "bad.mp4").write_bytes(b"no video")
    rows = [line("a.mp4"), line("bad.mp4"), line("b.mp4", prompt="a blue square"), line("c.mp4")]
    rows += [line("a.mp4", split="val"), line("a.mp4", prompt="red " * 30)]
    manifest = write_manifest(folder, rows)
    return folder, manifest, train_stage(folder, tiny_checkpoint, manifest)


def test_lines_left_out_are_reported_with_their_reasons(trained):
    _, manifest, out = trained
    report = {row["place"]: row["error"] for row in skipped(out)}
    assert list(report) == [f"{manifest} line {number}" for number in (2, 4, 6)]
    reasons = list(report.values())
    assert "cannot be decoded" in reasons[0]
    assert "No such file" in reasons[1]
    assert "caption has 31 tokens" in reasons[2]


def test_a_stage_on_clips_leaves_a_loadable_checkpoint(trained):
    pipeline = UniViGUPipeline.from_pretrained(trained[2], dtype=torch.float32)
    made = pipeline.generate("a red circle", seed=0, num_frames=1, num_inference_steps=1)
    assert made.frames.shape == (1, 64, 64, 3)


def test_clips_are_coded_as_the_pipeline_codes_them(trained, tiny_checkpoint):
    (cache,) = (trained[0] / "cache").iterdir()
    coded = [load_file(path)["value"] for path in cache.glob("*-5x64x64.safetensors")]
    assert [latents.shape for latents in coded] == [(16, 2, 8, 8)] * 2
    from model.latents import encode_pixels, from_uint8

    vae = UniViGUPipeline.from_pretrained(tiny_checkpoint, dtype=torch.float32).vae
    with torch.inference_mode():
        frames = decode_clip((trained[0] / "a.mp4").read_bytes(), 5, 64, 64)
        expected = encode_pixels(vae, from_uint8(frames[None]))[0].to(torch.bfloat16)
    assert any(torch.equal(latents, expected) for latents in coded)


def test_what_is_in_the_cache_is_not_coded_again(trained, tiny_checkpoint, tmp_path):
    folder, manifest, _ = trained
    before = {p: p.stat().st_mtime_ns for p in (folder / "cache").rglob("*.safetensors")}
    other = tmp_path / "other"
    shutil.copytree(folder / "cache", other / "cache", copy_function=shutil.copy2)
    train_stage(other, tiny_checkpoint, manifest)
    after = {p: p.stat().st_mtime_ns for p in (other / "cache").rglob("*.safetensors")}
    assert sorted(before.values()) == sorted(after.values())


def test_the_cache_of_another_coder_is_another(tiny_checkpoint, tmp_path):
    copy = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, copy)
    parts = ("vae", "text_encoder", "tokenizer")
    (copy / "transformer" / "new").write_text("trained further")
    assert fingerprint(copy, parts) == fingerprint(tiny_checkpoint, parts)
    assert fingerprint(copy) != fingerprint(tiny_checkpoint)
    (copy / "vae" / "new").write_text("another autoencoder")
    assert fingerprint(copy, parts) != fingerprint(tiny_checkpoint, parts)


def test_lines_are_counted_while_they_are_coded(trained):
    folder, manifest, _ = trained
    seen = []
    run_stage("recall", folder / "config.toml", on_line=lambda *line: seen.append(line))
    numbers = (1, 2, 3, 4, 6)  # the fifth is of another split
    assert seen == [(n, f"{manifest} line {number}") for n, number in enumerate(numbers, start=1)]


def test_refinement_needs_captions(trained, tiny_checkpoint, tmp_path):
    rows = [line(str(trained[0] / "a.mp4"), caption=None)]
    manifest = write_manifest(tmp_path, rows)
    with pytest.raises(ValueError, match=r"no clip can be used; see .*skipped\.jsonl"):
        train_stage(tmp_path, tiny_checkpoint, manifest, "refine")
    assert "caption None" in skipped(tmp_path / "runs" / "refine")[0]["error"]


def test_captions_are_conditions_where_the_stage_says_so(trained, tiny_checkpoint, tmp_path):
    clip = str(trained[0] / "a.mp4")
    options = "[refine.stage]\nmixture = { joint = 1.0 }\ndetailed_share = 1.0"
    manifest = write_manifest(tmp_path, [line(clip), line(clip, caption=None)])
    train_stage(tmp_path, tiny_checkpoint, manifest, "refine", options)
    assert [row["error"] for row in skipped(tmp_path / "runs" / "refine")] == [
        "caption None: this stage needs one"
    ]
    texts = list((tmp_path / "cache").rglob("text-*"))
    assert len(texts) == 3  # prompt, caption and the null condition's
