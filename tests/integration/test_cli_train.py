"""`univigu train` on clips, on two machines that share coding, rows and weights."""

import json
import sys
import tarfile
from pathlib import Path

import pytest
import torch
import yaml
from cli_house import free_port
from two_machines import run_machines
from video_files import numbered_video

from model import UniViGUPipeline

TWO_MACHINES = Path(__file__).parents[2] / "configs" / "two-machines.yaml"
CONFIG = """
folder = "runs"
checkpoint = "{checkpoint}"

[data]
sources = ["clips.jsonl", "shard.tar"]
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


def launch(folder):
    """Train in a process on each of two machines, started by accelerate's launcher."""
    place = {"num_processes": 2, "main_process_ip": "127.0.0.1", "main_process_port": free_port()}
    machines = yaml.safe_load(TWO_MACHINES.read_text()) | place
    (folder / "machines.yaml").write_text(yaml.safe_dump(machines))
    accelerate, univigu = (Path(sys.executable).with_name(n) for n in ("accelerate", "univigu"))
    launcher = [accelerate, "launch", "--config_file", "machines.yaml", "--machine_rank"]
    command = ["--no_python", univigu, "train", "recall", "--config", "config.toml"]
    return run_machines([[*launcher, number, *command] for number in (0, 1)], folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_checkpoint):
    """A folder in which two machines have trained, and what they said on stdout."""
    folder = tmp_path_factory.mktemp("train")
    for name in ("a", "b", "c"):
        numbered_video(folder / f"{name}.mp4", count=9)
    (folder / "bad.mp4").write_bytes(b"no video")
    videos = ["a.mp4", "bad.mp4", "b.mp4", "c.mp4", "gone.mp4"]
    (folder / "clips.jsonl").write_text("\n".join(map(line, videos)))
    (folder / "words.json").write_text(line(""))
    with tarfile.open(folder / "shard.tar", "w") as shard:
        for name in ("a", "bad"):
            shard.add(folder / f"{name}.mp4", f"in/{name}.mp4")
            shard.add(folder / "words.json", f"in/{name}.json")
    (folder / "config.toml").write_text(CONFIG.format(checkpoint=tiny_checkpoint))
    said, errors, codes = launch(folder)
    assert codes == [0, 0], errors
    return folder, said


def test_the_first_process_says_where_the_result_is(trained):
    folder, said = trained
    assert [text.splitlines() for text in said] == [[str(folder / "runs" / "recall")], []]


def test_processes_that_share_the_coding_report_every_line_left_out_in_order(trained):
    report = (trained[0] / "runs" / "recall" / "skipped.jsonl").read_text().splitlines()
    assert [json.loads(row)["place"] for row in report] == [
        "clips.jsonl line 2",
        "clips.jsonl line 5",
        "shard.tar sample in/bad",
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
