"""The training loop on a tiny network: resuming, rates, averages."""

import json
import time
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_models import tiny_transformer
from tiny_training import CONFIG, RUN, run_until_killed, tiny_train

from model.training.optimizers import Optimizers, learning_rate
from model.training.processes import Processes
from model.training.stage import Stage

# autocast keeps norm weights in float32; torch says once per process that this is not fused
pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


def losses_by_step(out_dir):
    """Return what the log says of each step; a step done twice has two entries."""
    losses = defaultdict(list)
    for line in (out_dir / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        del row["seconds"]
        losses[row.pop("step")].append(row)
    return losses


def curves(out_dir):
    """Return what TensorBoard would draw: values by step by name."""
    events = EventAccumulator(str(out_dir / "tensorboard")).Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Six steps in one go: the folder, the trained network, the rows."""
    out_dir = tmp_path_factory.mktemp("straight")
    transformer, rows = tiny_train(out_dir)
    return out_dir, transformer, list(rows)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Six steps by a process that was killed after its fourth, and this one."""
    out_dir = tmp_path_factory.mktemp("resumed")
    run_until_killed(out_dir, kill_after=3)
    assert sorted(losses_by_step(out_dir)) == [0, 1, 2, 3]
    time.sleep(1)  # the names of TensorBoard's files, and so their order, count in seconds
    (out_dir / "state.partial").write_bytes(b"a kill in the middle of a save leaves this")
    transformer, rows = tiny_train(out_dir)
    return out_dir, transformer, list(rows)


def test_a_killed_run_goes_on_from_its_last_save(resumed):
    assert [row["step"] for row in resumed[2]] == [3, 4, 5]


def test_a_killed_and_resumed_run_ends_with_the_same_weights(straight, resumed):
    expected = straight[1].state_dict()
    for name, weight in resumed[1].state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_a_killed_and_resumed_run_averages_the_same_weights(straight, resumed):
    expected = load_file(straight[0] / "ema.safetensors")
    for name, weight in load_file(resumed[0] / "ema.safetensors").items():
        assert torch.equal(weight, expected[name]), name


def test_a_killed_and_resumed_run_logs_the_same_losses(straight, resumed):
    expected = losses_by_step(straight[0])
    again = losses_by_step(resumed[0])
    assert again.keys() == expected.keys()
    for step, entries in again.items():
        assert all(entry == expected[step][0] for entry in entries)


def test_curves_are_kept_beside_the_log(resumed, straight):
    drawn = curves(resumed[0])
    assert drawn.keys() == {"video", "text", "total", "learning_rate", "seconds"}
    expected = losses_by_step(straight[0])
    for name in ("video", "text", "total", "learning_rate"):
        rows = {step: entries[0][name] for step, entries in expected.items()}
        assert drawn[name] == pytest.approx(rows)


def test_a_finished_run_has_nothing_left_to_do(straight):
    assert list(tiny_train(straight[0])[1]) == []


def test_training_moves_every_part_of_the_network(straight):
    before = tiny_transformer(**CONFIG).state_dict()
    after = straight[1].state_dict()
    assert [name for name, weight in before.items() if torch.equal(weight, after[name])] == []


def test_another_seed_trains_another_network(straight, tmp_path):
    transformer, rows = tiny_train(tmp_path, seed=1)
    assert next(rows)["total"] != straight[2][0]["total"]
    rows.close()
    assert transformer.training


def test_computing_blocks_again_changes_no_bit(tmp_path):
    weights, calls = [], []
    for again in (False, True):
        folder, count = tmp_path / str(again), []
        transformer, rows = tiny_train(folder, gradient_checkpointing=again, autocast=False)
        transformer.blocks[0].register_forward_pre_hook(lambda *_, count=count: count.append(1))
        list(rows)
        weights.append(transformer.state_dict())
        calls.append(len(count))
    assert calls == [6, 12]
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())


def test_without_autocast_the_network_computes_in_float32(tmp_path):
    transformer, rows = tiny_train(tmp_path, num_steps=1, autocast=False)
    seen = []
    transformer.blocks[0].register_forward_hook(lambda *args: seen.append(args[2][0].hidden.dtype))
    list(rows)
    assert seen == [torch.float32]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # the compiler's own
def test_a_compiled_network_trains_alike(tmp_path):
    joint = Stage("joint", "caption", {"joint": 1.0}, condition_dropout=0.2)  # one graph
    options = {"autocast": False, "optimizer": "adamw", "num_steps": 4}
    eager, compiled = (
        [row["total"] for row in tiny_train(tmp_path / name, joint, compile=yes, **options)[1]]
        for name, yes in (("eager", False), ("compiled", True))
    )
    assert compiled == pytest.approx(eager, rel=1e-4)


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path):
    three = Processes(1, 3, torch.device("cpu"))
    assert three.rows(6) == slice(2, 4)
    with pytest.raises(ValueError, match="batch_size 4: must be a multiple of the 3 processes"):
        three.rows(4)


def test_embedded_captions_cannot_be_sharded():
    transformer = tiny_transformer(text_flow="embedding")
    with pytest.raises(ValueError, match="'fsdp2': cannot be had with text_flow 'embedding'"):
        Processes(0, 2, torch.device("cpu")).place(transformer, "fsdp2", has_unused=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parallel": "tensor"}, "parallel 'tensor': must be one of ddp, fsdp2"),
        ({"parallel": "fsdp2"}, "optimizer 'muon': needs whole matrices"),
        ({"parallel": "fsdp2", "optimizer": "adamw", "compile": True}, "compile true: cannot"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        replace(RUN, out_dir=tmp_path, **options)


def test_the_first_average_leans_on_the_new_weights(tmp_path):
    transformer, rows = tiny_train(tmp_path, num_steps=1)
    before = {name: p.detach().clone() for name, p in transformer.named_parameters()}
    list(rows)
    average = load_file(tmp_path / "ema.safetensors")
    for name, after in transformer.named_parameters():
        expected = 0.1 * before[name] + 0.9 * after.detach()
        torch.testing.assert_close(average[name], expected, atol=1e-6, rtol=1e-5)


def test_loss_falls_on_a_set_small_enough_to_learn_by_heart(tmp_path):
    understand = Stage("learn", "caption", {"understand": 1.0}, condition_dropout=0.0)
    options = {"num_steps": 25, "batch_size": 6, "learning_rate": 2e-2, "save_every": 25}
    _, rows = tiny_train(tmp_path, understand, **options)
    losses = [row["text"] for row in rows]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_rate_warms_up_in_a_line_and_falls_along_a_cosine():
    run = replace(RUN, num_steps=1000, warmup_steps=10, learning_rate=1.0, final_rate=0.1)
    assert learning_rate(0, run) == pytest.approx(0.1)
    assert learning_rate(4, run) == pytest.approx(0.5, rel=1e-3)
    assert learning_rate(500, run) == pytest.approx(0.1 + 0.9 / 2)
    assert learning_rate(1000, run) == pytest.approx(0.1)
    rates = [learning_rate(step, run) for step in range(10, 1000)]
    assert rates == sorted(rates, reverse=True)


def test_every_weight_has_exactly_one_optimizer():
    transformer = tiny_transformer()
    muon, adam = Optimizers(transformer, RUN).parts
    held = [id(p) for part in (muon, adam) for group in part.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in transformer.parameters())


def test_muon_has_the_matrices_of_the_blocks_alone():
    transformer = tiny_transformer()
    muon, _ = Optimizers(transformer, RUN).parts
    held = {id(p) for group in muon.param_groups for p in group["params"]}
    blocks = {id(p) for p in transformer.blocks.parameters() if p.ndim == 2}
    assert held == blocks


def test_a_step_uses_the_rate_that_it_is_given():
    transformer = tiny_transformer()
    optimizers = Optimizers(transformer, RUN)
    before = [p.detach().clone() for p in transformer.parameters()]
    for parameter in transformer.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizers.step(0.0)
    assert all(map(torch.equal, before, transformer.parameters()))
    assert all(parameter.grad is None for parameter in transformer.parameters())
