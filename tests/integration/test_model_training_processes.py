"""Training in two real processes that talk over gloo, against the same run in one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

TESTS = Path(__file__).parents[1]
#: batches with and without captions, so that some leave weights without gradient
MIXTURE = {"joint": 0.3, "understand": 0.2, "text_to_video": 0.2, "video_only": 0.3}
OPTIONS = {"stage": {"mixture": MIXTURE}, "optimizer": "adamw", "autocast": False}


def train_in(count, *runs):
    """Run `tiny_training` in `count` processes, as `torchrun` starts them."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    program = [TESTS / "tiny_training.py", "1", json.dumps([OPTIONS | run for run in runs])]
    done = subprocess.run(
        [sys.executable, *launcher, *program],
        env=os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three folders of the same run: in one process, in two, and in two with shares of weights.

    The last one is a run of one process, taken up by two after three of the six steps.
    """
    folder = tmp_path_factory.mktemp("processes")
    one, ddp, fsdp2 = (str(folder / name) for name in ("one", "ddp", "fsdp2"))
    half = OPTIONS | {"num_steps": 3, "final_rate": 1.0}
    train_in(1, {"out_dir": one, "final_rate": 1.0}, {"out_dir": fsdp2} | half)
    train_in(
        2,
        {"out_dir": ddp, "final_rate": 1.0},
        {"out_dir": fsdp2, "final_rate": 1.0, "parallel": "fsdp2"},
    )
    return {name: folder / name for name in ("one", "ddp", "fsdp2")}


def losses(folder):
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    return rows


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_have_the_losses_of_one(runs, name):
    alone, together = losses(runs["one"]), losses(runs[name])
    assert [row["step"] for row in together] == [0, 1, 2, 3, 4, 5]
    assert {frozenset(row) for row in alone} == {
        frozenset({"step", "learning_rate", "video", "total"}),
        frozenset({"step", "learning_rate", "video", "text", "total"}),
    }
    for row, expected in zip(together, alone, strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_two_processes_write_the_whole_network_once(runs, name):
    expected = load_file(runs["one"] / "ema.safetensors")
    average = load_file(runs[name] / "ema.safetensors")
    assert average.keys() == expected.keys()
    for key, weight in average.items():
        torch.testing.assert_close(weight, expected[key], atol=1e-4, rtol=1e-4)
    assert sorted(path.name for path in runs[name].iterdir()) == [
        "ema.safetensors",
        "log.jsonl",
        "state.pt",
        "tensorboard",
    ]
    # two parts of the run wrote curves under fsdp2: one process, then the first of two
    assert len([*(runs[name] / "tensorboard").iterdir()]) == (2 if name == "fsdp2" else 1)


def test_a_sharded_run_can_be_taken_up_by_one_process(runs):
    expected = torch.load(runs["one"] / "state.pt", weights_only=True)
    state = torch.load(runs["fsdp2"] / "state.pt", weights_only=True)
    assert state["step"] == 6
    for saved, own in zip(state["optimizers"], expected["optimizers"], strict=True):
        assert saved["state"].keys() == own["state"].keys()
        for index, values in own["state"].items():
            for name, value in values.items():
                torch.testing.assert_close(saved["state"][index][name], value, atol=1e-4, rtol=1e-3)
