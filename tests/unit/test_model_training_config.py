"""Stages as a config file describes them, and what is refused of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.training.config import ClipData, read_autoencoder, read_stage
from model.training.stage import CAPABILITY_REFINEMENT, KNOWLEDGE_RECALL

CLIPS = """
folder = "out"
checkpoint = "wan"

[data]
sources = ["a.jsonl"]
num_frames = 5
height = 64
width = 96

[recall]
num_steps = 7
trainable = "text"

[refine]
num_steps = 8
start_from = "recall"

[refine.stage]
mixture = { joint = 0.5, understand = 0.5 }
condition_dropout = 0.3
text_weight = 1
video_shift = 5.0

[refine.data]
sources = ["b.jsonl"]
"""


@pytest.fixture
def read(tmp_path):
    """Return a function from a stage's name and a config's text to what it says."""

    def read_text(name, text):
        config = tmp_path / "config.toml"
        config.write_text(text)
        return read_autoencoder(config) if name == "vae" else read_stage(name, config)

    return read_text


def test_a_stage_is_the_table_of_its_name(read):
    recall = read("recall", CLIPS)
    assert (recall.run.num_steps, recall.run.out_dir) == (7, Path("out/recall"))
    assert recall.start is None
    assert recall.data == ClipData(Path("wan"), ["a.jsonl"], 5, 64, 96)


def test_a_stage_leaves_out_what_its_trainable_set_cannot_learn_from(read):
    assert read("recall", CLIPS).stage.mixture == {
        mode: share for mode, share in KNOWLEDGE_RECALL.mixture.items() if mode != "video_only"
    }


def test_a_stage_s_own_tables_change_its_objective_and_its_data(read):
    refine = read("refine", CLIPS)
    assert refine.start == Path("out/recall")
    assert refine.data.sources == ["b.jsonl"]
    assert refine.stage == replace(
        CAPABILITY_REFINEMENT,
        mixture={"joint": 0.5, "understand": 0.5},
        condition_dropout=0.3,
        text_weight=1,
        video_shift=5.0,
    )


def test_without_clips_a_stage_is_the_demo_world_s(read):
    found = read("base", "scenes = 3\n[base]\nnum_steps = 1")
    assert (found.data, found.scenes, found.folder) == (None, 3, Path("runs"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("dance", "", "stage 'dance': must be one of vae, base, recall, refine"),
        ("vae", "[vae]\nsteps = 1", r"\[vae\] steps: must be one of .*num_steps"),
        ("base", "[base]\nsteps = 1", r"\[base\] steps: must be one of .*num_steps"),
        ("base", "[base]\nout_dir = 'x'", r"\[base\] out_dir: must be one of"),
        ("base", "[base.stage]\nname = 'x'", r"\[base.stage\] name: must be one of .*mixture"),
        (
            "recall",
            "[recall.stage]\nmixture = { dance = 1 }",
            r"\[recall.stage\] mixture .*: Input should be 'joint', 'understand'",
        ),
        (
            "recall",
            "[recall.stage]\nmixture = { joint = -1 }",
            "mixture joint -1.0: must be at least 0",
        ),
        ("recall", "[recall.stage]\nmixture = {}", "mixture {}: needs a share above 0"),
        (
            "recall",
            "[recall.stage]\ntarget = 'x'",
            r"target 'x': Input should be 'prompt' or 'caption'",
        ),
        (
            "recall",
            "[recall.stage]\ncondition_dropout = 1.5",
            "condition_dropout 1.5: must be from 0 to 1",
        ),
        (
            "recall",
            "[recall.stage]\nexact_above = 0.5",
            "exact_above 0.5: must be 1 for joint prompts",
        ),
        (
            "refine",
            CLIPS.replace("video_shift = 5.0", "exact_above = 0.5"),
            r"\[refine.stage\] exact_above 0.5, rollout_every 0: must be 1 and 0 with \[data\]",
        ),
        (
            "refine",
            CLIPS.replace("video_shift = 5.0", "rollout_every = 4"),
            r"\[refine.stage\] exact_above 1.0, rollout_every 4: must be 1 and 0 with \[data\]",
        ),
        (
            "recall",
            "[recall.stage]\nrollout_every = 4",
            "rollout_every 4: must be 0 where target is prompt",
        ),
        (
            "refine",
            "[refine]\nnum_steps = 1\nparallel = 'fsdp2'\noptimizer = 'adamw'\n"
            "[refine.stage]\nrollout_every = 4",
            "rollout_every 4: must be 0 with parallel 'fsdp2'",
        ),
        (
            "refine",
            "[refine]\nnum_steps = 1\nbatch_size = 4\n[refine.stage]\nrollout_every = 5",
            "rollout_every 5: must be at most batch_size 4",
        ),
        (
            "refine",
            "[refine]\nnum_steps = 1\nsave_every = 9\n[refine.stage]\nrollout_every = 4",
            "save_every 9: must be at least 24 with rollout_every",
        ),
        (
            "refine",
            "[refine]\nnum_steps = 1\n[refine.stage]\nrollout_every = 4\n"
            "mixture = { video_only = 1.0 }",
            "rollout_every 4: must be 0 without captions",
        ),
        ("recall", "[recall.stage]\nvideo_shift = 0", "video_shift 0.0: must be from 0.01 to 100"),
        ("base", "[base]\nnum_steps = '1'", r"num_steps '1': Input should be a valid integer"),
        ("base", "[base]\nbatch_size = 2", r"\[base\] num_steps: is missing"),
        ("base", "[base]\nnum_steps = 0", "num_steps 0: must be at least 1"),
        ("base", "[base]\nnum_steps = 1\nema_decay = 2.0", r"ema_decay 2.0: must be from 0 to 1"),
        ("recall", "[data]\nsources = 'x'", r"\[data\] sources 'x': Input should be a valid list"),
        ("recall", '[data]\nclips = "x"', r"\[data\] clips: must be one of cache, checkpoint"),
        ("recall", '[data]\nsources = ["x"]', r"\[data\] checkpoint: is missing"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(read, name, text, words):
    if name in ("recall", "base") and f"[{name}]" not in text:
        text += f"\n[{name}]\nnum_steps = 1"
    with pytest.raises(ValueError, match=words):
        read(name, text)
