"""`univigu train` on clips, in two real processes that share coding, rows and weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from video_files import numbered_video

from model import UniViGUPipeline

ROOT = Path(__file__).parents[2]
CONFIG = """
folder = "runs"
checkpoint = "{checkpoint}"

[data]
sources = ["clips.jsonl"]
num_frames = 5
height = 64
width = 64

[recall]
num_steps = 2
batch_size = 2
optimizer = "adamw"
parallel = "fsdp2"
gradient_checkpointing = true
"""


def line(video):
    return json.dumps({"video": video, "prompt": "a red circle", "caption": "a red circle moves"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_checkpoint):
    """A folder in which two processes have trained, and what they said."""
    folder = tmp_path_factory.mktemp("train")
    for name in ("a", "b", "c"):
        numbered_video(folder / f"{name}.mp4", count=9)
    (folder / "bad.mp4").write_bytes(b"no video")
    videos = ["a.mp4", "bad.mp4", "b.mp4", "c.mp4", "gone.mp4"]
    (folder / "clips.jsonl").write_text("\n".join(map(line, videos)))
    (folder / "config.toml").write_text(CONFIG.format(checkpoint=tiny_checkpoint))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "cli.main", "train", "recall", "--config", "config.toml"]
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return folder, done


def test_the_first_process_says_where_the_result_is(trained):
    folder, done = trained
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(folder / "runs" / "recall")]


def test_processes_that_share_the_coding_report_every_line_left_out_in_order(trained):
    report = (trained[0] / "runs" / "recall" / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(row)["place"] for row in report] == [
        "clips.jsonl line 2",
        "clips.jsonl line 5",
    ]


def test_every_step_is_logged_once(trained):
    log = (trained[0] / "runs" / "recall" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in log] == [0, 1]


def test_shares_of_the_weights_become_one_checkpoint(trained, tiny_checkpoint):
    folder = trained[0] / "runs" / "recall"
    pipeline = UniViGUPipeline.from_pretrained(folder, dtype=torch.float32)
    before = UniViGUPipeline.from_pretrained(tiny_checkpoint, dtype=torch.float32).transformer
    assert type(pipeline.transformer) is type(before)
    assert pipeline.transformer.config["_class_name"] == "UniViGUTransformer"
    moved = pipeline.transformer.blocks[0].attn1.to_q.weight != before.blocks[0].attn1.to_q.weight
    assert moved.any()
    made = pipeline.generate("a red circle", seed=0, num_frames=1, num_inference_steps=1)
    assert made.frames.shape == (1, 64, 64, 3)
