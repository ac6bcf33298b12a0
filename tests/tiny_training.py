"""A training run of seconds.

As a program: the runs that its second argument lists in JSON, with `out_dir`, fields of `stage` and
of `TrainingRun`, and `kill_after`, a step, or `kill_launcher_after`, after which its launcher dies
as well; the first argument is the number of threads.
"""

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from tiny_models import seeded, tiny_text_encoder, tiny_tokenizer, tiny_transformer

from model.training.data import BatchMaker, ConditionTable
from model.training.knowledge import NOTHING_KNOWN, Knowledge
from model.training.moving_shapes import sample_scene
from model.training.rollouts import Rollouts, Serving
from model.training.stage import CAPABILITY_REFINEMENT
from model.training.trainer import train
from model.training.training_run import TrainingRun

CONFIG = {
    "caption_length": 20,
    "condition_length": 24,
    "understanding_attention": "isolated",
}
RUN = TrainingRun(
    out_dir=Path(),
    num_steps=6,
    batch_size=4,
    learning_rate=5e-3,
    warmup_steps=2,
    save_every=3,
)


def tiny_scenes(count=12):
    """Return scenes of the training side of the hold-out."""
    rng = random.Random(0)
    return [sample_scene(rng) for _ in range(count)]


def tiny_batches(count=12, **config):
    """Return a batch maker over random latents (count, 4, 2, 4, 4) for a tiny transformer."""
    tokenizer = tiny_tokenizer()
    transformer = tiny_transformer(**(CONFIG | config))
    return BatchMaker(
        torch.randn(count, 4, 2, 4, 4, generator=seeded()),
        ConditionTable(tiny_text_encoder(), tokenizer, CONFIG["condition_length"]),
        tokenizer,
        transformer.config,
    )


SERVING = Serving(
    video_shift=8.0,
    text_shift=0.3,
    draft_above=0.0,
    guidance_scale=4.0,
    guidance_above=0.0,
    rereads=True,
)


def tiny_rollouts(transformer, stage, run=RUN, **asked):
    """Return rollouts of a tiny network, for which black is the best answer to anything."""

    def answers(noisy, prompts, generators):
        assert len(prompts) == len(generators) == len(noisy.latents)
        rows = zip(prompts, noisy.condition, noisy.text_sigma, strict=True)
        for prompt, condition, text_sigma in rows:
            assert (prompt is None) == ((condition == 0).all() or text_sigma == 0)
        return noisy.latents / noisy.video_sigma.view(-1, 1, 1, 1, 1), torch.ones_like(
            noisy.caption
        )

    serving = replace(SERVING, **asked)
    return Rollouts(transformer, tiny_scenes(), tiny_batches(), stage, run, answers, serving)


def tiny_train(out_dir, stage=CAPABILITY_REFINEMENT, **options):
    """Return a transformer and the rows of its training, which runs as they are read."""
    transformer = tiny_transformer(**CONFIG).train()
    run = replace(RUN, out_dir=out_dir, **options)
    knowledge = NOTHING_KNOWN
    if stage.rollout_every:
        knowledge = Knowledge(rollouts=tiny_rollouts(transformer, stage, run))
    rows = train(
        transformer, tiny_scenes(), tiny_batches(), stage, run, pad_id=0, knowledge=knowledge
    )
    return transformer, rows


def run_until_killed(out_dir, **options):
    """Run this file as a program, for one run that kills itself; its options are listed above."""
    runs = json.dumps([{"out_dir": str(out_dir), **options}])
    killed = subprocess.run(
        [sys.executable, __file__, str(torch.get_num_threads()), runs],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    for arguments in json.loads(sys.argv[2]):
        launcher_too = arguments.pop("kill_launcher_after", None)
        kill_after = arguments.pop("kill_after", launcher_too)
        if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            kill_after = None  # once is enough
        stage = replace(CAPABILITY_REFINEMENT, **arguments.pop("stage", {}))
        folder = Path(arguments.pop("out_dir"))
        for row in tiny_train(folder, stage, **arguments)[1]:
            if row["step"] == kill_after:
                if launcher_too is not None:
                    os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
