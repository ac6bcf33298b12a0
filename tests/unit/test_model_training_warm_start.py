"""The shipped checkpoint is a start to train from: what it knows is there at the first step."""

import json
from pathlib import Path

import pytest
from tiny_training import tiny_scenes
from video_files import video_of

from model.latents import to_uint8
from model.training.moving_shapes import FPS, render
from model.training.run import run_stage

SHIPPED = Path(__file__).parents[2] / "model" / "checkpoints" / "moving-shapes"
CONFIG = """
folder = "{folder}/runs"
checkpoint = "{checkpoint}"

[data]
sources = ["{folder}/clips.jsonl"]
cache = "{folder}/cache"
num_frames = 17
height = 64
width = 64

[refine]
num_steps = 1
batch_size = 2

[refine.stage]
mixture = {{ understand = 1.0 }}
question_share = 0.0
understand_shift = 3.0
"""


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_the_average_that_ships_is_a_warm_start(tmp_path):
    scenes = tiny_scenes(4)
    lines = []
    for number, (scene, clip) in enumerate(zip(scenes, to_uint8(render(scenes)), strict=True)):
        path = tmp_path / f"{number}.mp4"
        video_of(clip.numpy(), path, fps=FPS)
        words = {"prompt": scene.prompt(), "caption": scene.caption()}
        lines.append(json.dumps({"video": path.name} | words))
    (tmp_path / "clips.jsonl").write_text("\n".join(lines))
    (tmp_path / "config.toml").write_text(CONFIG.format(folder=tmp_path, checkpoint=SHIPPED))
    run_stage("refine", tmp_path / "config.toml")
    (row,) = (tmp_path / "runs" / "refine" / "log.jsonl").read_text().splitlines()
    assert json.loads(row)["text"] < 1  # in nats; a network that knows nothing is at 4.2
