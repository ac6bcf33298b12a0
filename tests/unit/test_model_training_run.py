"""A stage of training from a config file: its order, its folder, its refusals."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_transformer

from model import UniViGUPipeline
from model.training.autoencoder import new_autoencoder
from model.training.moving_shapes import render
from model.training.processes import Processes
from model.training.run import run_stage
from model.training.world_course import world_latents

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

SHIPPED = Path(__file__).parents[2] / "model" / "checkpoints" / "moving-shapes"
CONFIG = """
folder = "{folder}"
scenes = 4

[base]
num_steps = 2
batch_size = 2

[recall]
start_from = "base"
num_steps = 1
batch_size = 2
learning_rate = 0.0
"""


KNOWING = """
folder = "{folder}"
scenes = 288

[refine]
num_steps = 2
batch_size = 4

[refine.stage]
mixture = {{ joint = 1.0 }}
exact_above = 0.75
rollout_every = 2
"""


def write_config(folder, text=CONFIG):
    path = folder / "config.toml"
    path.write_text(text.format(folder=folder))
    return path


def save_untrained_autoencoder(folder):
    torch.manual_seed(0)
    new_autoencoder().save_pretrained(folder / "vae")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two stages run, and what the second reported."""
    folder = tmp_path_factory.mktemp("training")
    save_untrained_autoencoder(folder)
    config, reports = write_config(folder), []
    run_stage("base", config)
    run_stage("recall", config, lambda step, total, row: reports.append((step, total, set(row))))
    return folder, reports


def test_a_stage_reports_every_step(trained):
    ((step, total, names),) = trained[1]
    assert (step, total) == (1, 1)
    assert {"total", "video"} <= names


@pytest.mark.parametrize("stage", ["base", "recall"])
def test_a_stage_leaves_a_loadable_checkpoint(trained, stage):
    pipeline = UniViGUPipeline.from_pretrained(trained[0] / stage, dtype=torch.float32)
    made = pipeline.generate("a red circle", seed=0, num_frames=1, num_inference_steps=1)
    assert made.frames.shape == (1, 64, 64, 3)


def test_a_checkpoint_holds_the_averaged_weights(trained):
    average = load_file(trained[0] / "base" / "ema.safetensors")
    weights = UniViGUPipeline.from_pretrained(
        trained[0] / "base", dtype=torch.float32
    ).transformer.state_dict()
    for name, value in average.items():
        assert torch.equal(weights[name], value.to(torch.bfloat16).float()), name


def test_a_stage_starts_from_the_one_that_it_names(trained):
    # at learning rate 0 the second stage is the first one over again
    base, recall = (
        load_file(trained[0] / stage / "transformer" / "diffusion_pytorch_model.safetensors")
        for stage in ("base", "recall")
    )
    for name, value in base.items():
        assert torch.equal(recall[name], value), name


def test_exact_targets_need_a_world_of_scenes(tmp_path):
    save_untrained_autoencoder(tmp_path)
    text = CONFIG + "\n[base.stage]\nexact_above = 0.5\n"
    with pytest.raises(ValueError, match="scenes 4: must be at least 288 for exact_above"):
        run_stage("base", write_config(tmp_path, text))


@pytest.mark.slow
def test_a_network_learns_from_what_it_makes_of_the_world(tmp_path):
    shutil.copytree(SHIPPED / "vae", tmp_path / "vae")
    rows, config = [], write_config(tmp_path, KNOWING)
    run_stage("refine", config, lambda step, total, row: rows.append(row))
    assert [row["step"] for row in rows] == [0, 1]
    assert all(row["text"] > 0 for row in rows)


def test_exact_targets_need_likelihoods_of_captions(tmp_path):
    tiny_transformer(text_flow="embedding").save_pretrained(tmp_path / "made" / "transformer")
    text = CONFIG.replace('"base"', '"made"') + "\n[recall.stage]\nexact_above = 0.5\n"
    text += "mixture = {{ understand = 1.0 }}\n"
    words = "exact_above 0.5, rollout_every 0: must be 1 and 0 with text_flow 'embedding'"
    with pytest.raises(ValueError, match=words):
        run_stage("recall", write_config(tmp_path, text))


def test_scenes_are_coded_once_and_in_order(tmp_path):
    cache, coded = tmp_path / "world.safetensors", []

    def encode(clips):
        coded.append(clips)
        return clips[:, :, ::4, ::8, ::8]

    scenes, latents = world_latents(cache, 4, encode)
    assert not any(scene.is_held_out for scene in scenes)
    torch.testing.assert_close(latents, encode(render(scenes)).to(torch.bfloat16))
    assert torch.equal(world_latents(cache, 4, encode)[1], latents)
    assert len(coded) == 2


def test_another_autoencoder_s_latents_are_not_taken(tmp_path):
    save_untrained_autoencoder(tmp_path)
    run_stage("base", write_config(tmp_path))
    first = set(tmp_path.glob("world-*"))
    new_autoencoder().save_pretrained(tmp_path / "vae")
    run_stage("recall", write_config(tmp_path))
    second = set(tmp_path.glob("world-*"))
    assert len(first) == 1
    assert len(second) == 2


def test_an_unknown_stage_is_refused_with_those_there_are(tmp_path):
    message = "stage 'dance': must be one of vae, base, recall, refine"
    with pytest.raises(ValueError, match=message):
        run_stage("dance", write_config(tmp_path))


def test_the_autoencoder_is_trained_in_one_process(tmp_path, monkeypatch):
    two = Processes(0, 2, torch.device("cpu"))
    monkeypatch.setattr(Processes, "started", lambda: two)
    with pytest.raises(ValueError, match="stage vae: trains in one process, not 2"):
        run_stage("vae", write_config(tmp_path))


def test_a_stage_before_its_turn_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="vae: run the earlier stage first"):
        run_stage("base", write_config(tmp_path))
    with pytest.raises(FileNotFoundError, match="transformer: run the earlier stage first"):
        run_stage("recall", write_config(tmp_path))
