"""`univigu eval` on real clips, with a judge over HTTP, and on prompt lists."""

import json

import numpy as np
import pytest
from cli_house import json_rows
from typer.testing import CliRunner
from video_files import numbered_video

from cli.main import app
from model.evaluation.compression import h264_file
from worker.video_io import probe

CAPTION = "a small red circle moves from right to left across a plain white background ."


def run(checkpoint, *options):
    place = ["--checkpoint", str(checkpoint), *map(str, options)]
    result = CliRunner().invoke(app, ["eval", *place])
    result.returncode = result.exit_code
    return result


@pytest.fixture
def manifest(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(3):
        frames = rng.integers(256, size=(9, 32, 48, 3), dtype=np.uint8)
        (tmp_path / f"{i}.mp4").write_bytes(h264_file(frames, 8))
        rows.append({"video": f"{i}.mp4", "prompt": "p", "caption": CAPTION, "split": "test"})
    path = tmp_path / "clips.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def add(manifest, **fields):
    with manifest.open("a") as file:
        file.write(
            json.dumps({"prompt": "p", "caption": CAPTION, "split": "test", **fields}) + "\n"
        )


def test_clips_are_captioned_and_compared(tiny_clips_checkpoint, manifest):
    numbered_video(manifest.parent / "train.mp4")
    add(manifest, video="train.mp4", split="train")
    result = run(
        tiny_clips_checkpoint,
        "--manifest",
        manifest,
        "--split",
        "test",
        "--batch-size",
        2,
        "--json",
    )
    assert result.exit_code == 0, result.output
    (found,) = json_rows(result)
    assert found["clips"] == 3
    assert {*found["measures"]["captions"]["test"]} == {"bleu_4", "rouge_l", "cider"}
    assert [row["reference"] for row in found["captions"]] == [CAPTION] * 3
    places = [f"{manifest} line {i}" for i in (1, 2, 3)]
    assert [row["place"] for row in found["captions"]] == places


def test_clips_that_cannot_be_used_are_named_and_the_others_scored(tiny_clips_checkpoint, manifest):
    add(manifest, video="missing.mp4")
    add(manifest, video="0.mp4", caption=None)
    result = run(tiny_clips_checkpoint, "--manifest", manifest)
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())  # lines end where the path's length puts their end
    assert "line 4: " in said
    assert "line 5: caption None: there is nothing to compare with" in said
    assert "bleu 4" in said


def test_no_usable_clip_is_refused(tiny_clips_checkpoint, manifest):
    result = run(tiny_clips_checkpoint, "--manifest", manifest, "--split", "val")
    assert result.exit_code == 2
    assert "no clip can be used; none is of the split" in " ".join(result.stderr.split())


def test_a_judge_sees_frames_and_caption(tiny_clips_checkpoint, manifest, chat_server):
    answers = ["80", "90 out of 100", "a fine caption"]
    server = chat_server(lambda messages: answers.pop(0))
    judge = ["--judge-url", server.url, "--judge-model", "eyes", "--judge-key", "secret"]
    result = run(tiny_clips_checkpoint, "--manifest", manifest, *judge, "--json")
    assert result.exit_code == 1  # one caption has no judgement
    (found,) = json_rows(result)
    assert found["measures"]["captions"]["all"]["judge"] == 85
    assert [row.get("judge") for row in found["captions"]] == [80, 90, None]
    (unjudged,) = found["unjudged"]
    assert unjudged["place"] == f"{manifest} line 3"
    assert "no number from 0 to 100" in unjudged["error"]
    *pictures, question = server.requests[0]["messages"][0]["content"]
    assert len(pictures) == 5
    assert pictures[0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert question["text"].endswith(f"Caption: {found['captions'][0]['caption']}")
    assert server.requests[0]["model"] == "eyes"


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "all_dimension.txt"
    path.write_text("a red circle, moving left\n\na shape/a cross\na red circle, moving left\n")
    return path


def benchmark(checkpoint, prompts, *options):
    fast = ["--samples", 2, "--seed", 5, "--num-inference-steps", 1]
    out = prompts.parent / "out"
    return out, run(checkpoint, "--prompts", prompts, "--out", out, *fast, *options)


def test_videos_have_the_names_that_vbench_looks_for(tiny_clips_checkpoint, prompts):
    out, result = benchmark(tiny_clips_checkpoint, prompts, "--json")
    assert result.exit_code == 1
    rows = json_rows(result)
    assert [(row["status"], row["seed"]) for row in rows] == [
        *(("completed", 5), ("completed", 6)),
        *(("failed", 7), ("failed", 8)),
    ]
    assert "cannot be a file name" in rows[2]["error"]
    names = [f"a red circle, moving left-{i}.mp4" for i in (0, 1)]
    assert {path.name for path in out.iterdir()} == {*names, "manifest.jsonl"}
    assert probe(out / names[0]).duration_seconds == 5 / 8
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [(line["video"], line["seed"]) for line in lines] == [*zip(names, (5, 6), strict=True)]
    assert lines[0]["caption"] == rows[0]["caption"]


def test_what_is_made_is_not_made_again(tiny_clips_checkpoint, prompts):
    out, first = benchmark(tiny_clips_checkpoint, prompts, "--json")
    kept, lost = (out / f"a red circle, moving left-{i}.mp4" for i in (0, 1))
    content, before = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    _, again = benchmark(tiny_clips_checkpoint, prompts, "--json")
    assert [row["status"] for row in json_rows(again)][:2] == ["skipped", "completed"]
    assert [row["caption"] for row in json_rows(again)] == [
        row["caption"] for row in json_rows(first)
    ]
    assert lost.read_bytes() == content
    assert len((out / "manifest.jsonl").read_text().splitlines()) == 2
    assert kept.stat().st_mtime_ns == before


def test_the_list_of_vbench_itself_is_read(tiny_clips_checkpoint, tmp_path):
    path = tmp_path / "VBench_full_info.json"
    path.write_text(json.dumps([{"prompt_en": "a shape", "dimension": ["color"]}] * 2))
    _, result = benchmark(tiny_clips_checkpoint, path, "--json")
    assert result.exit_code == 0
    assert [row["prompt"] for row in json_rows(result)] == ["a shape"] * 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.txt", "\n", "there is no prompt in it"),
        ("other.json", '[{"prompt": "x"}]', "KeyError('prompt_en')"),
        ("broken.json", "{", "JSONDecodeError"),
    ],
)
def test_a_file_that_is_no_prompt_list_is_refused(
    name, content, words, tiny_clips_checkpoint, tmp_path
):
    (tmp_path / name).write_text(content)
    _, result = benchmark(tiny_clips_checkpoint, tmp_path / name)
    assert result.exit_code == 2
    assert words in result.stderr
