"""Training on two machines, whose processes talk over gloo, against the same run in this one."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import tiny_train
from two_machines import train_on_two

from model.training.stage import CAPABILITY_REFINEMENT

PROGRAM = Path(__file__).parents[1] / "tiny_training.py"
#: batches with and without captions, so that some leave weights without gradient
MIXTURE = {"joint": 0.3, "understand": 0.2, "text_to_video": 0.2, "video_only": 0.3}
STAGE = replace(CAPABILITY_REFINEMENT, mixture=MIXTURE)
OPTIONS = {"optimizer": "adamw", "autocast": False, "final_rate": 1.0}


def program(*runs, **options):
    """Return arguments of a machine that does these runs, one after the other."""
    common = OPTIONS | {"stage": {"mixture": MIXTURE}} | options
    runs = [common | run | {"out_dir": str(run["out_dir"])} for run in runs]
    return PROGRAM, "1", json.dumps(runs)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The folder of the run in one process."""
    folder = tmp_path_factory.mktemp("processes") / "one"
    list(tiny_train(folder, STAGE, **OPTIONS)[1])
    return folder


@pytest.fixture(scope="module")
def runs(one):
    """Three folders of the same run: in one process, in two, and in two with shares of weights.

    The last one is a run of one process, taken up by two after three of the six steps.
    """
    folder = one.parent
    ddp, fsdp2 = folder / "ddp", folder / "fsdp2"
    list(tiny_train(fsdp2, STAGE, **OPTIONS, num_steps=3)[1])
    machine = program({"out_dir": ddp}, {"out_dir": fsdp2, "parallel": "fsdp2"})
    _, errors, codes = train_on_two(folder, machine, machine)
    assert codes == [0, 0], errors
    return {"one": one, "ddp": ddp, "fsdp2": fsdp2}


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


def check_exact_resume(rows, expected):
    """Check the log of a run that died after the fifth step, and was saved after the third."""
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 3, 4, 5]
    assert rows[5:7] == rows[3:5]  # bit for bit
    for row, alone in zip(rows[:3] + rows[5:], expected, strict=True):
        assert row == pytest.approx(alone, rel=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("doomed", [0, 1], ids=["host of the meeting", "the other"])
def test_a_run_that_loses_a_machine_ends_and_goes_on_exactly(one, tmp_path, doomed):
    out = tmp_path / "run"
    machines = [program({"out_dir": out})] * 2
    dying = list(machines)
    dying[doomed] = program({"out_dir": out, "kill_launcher_after": 4})
    _, errors, codes = train_on_two(tmp_path, *dying)
    assert codes[doomed] == -signal.SIGKILL
    assert codes[1 - doomed] > 0
    if doomed == 1:  # else the launcher may notice first
        assert "has lost another one" in errors[0]
        assert "start all again to go on from the last save" in errors[0]
    _, errors, codes = train_on_two(tmp_path, *machines)
    assert codes == [0, 0], errors
    check_exact_resume(losses(out), losses(one))


@pytest.mark.slow
def test_a_lost_process_is_started_again_where_the_launcher_may(one, tmp_path):
    out = tmp_path / "run"
    machines = program({"out_dir": out}), program({"out_dir": out, "kill_after": 4})
    _, errors, codes = train_on_two(tmp_path, *machines, restarts=1)
    assert codes == [0, 0], errors
    check_exact_resume(losses(out), losses(one))
