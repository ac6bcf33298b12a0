"""What a stage takes, against networks that do the work and against the published sizes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import CAPTIONS, WIDTHS, tiny_transformer
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.training.config import read_stage
from model.training.data import Batch
from model.training.measure import measure_step
from model.training.objective import losses
from model.training.optimizers import BETAS
from model.training.plan import Hardware, plan_stage
from model.training.stage import KNOWLEDGE_RECALL
from model.training.training_run import TrainingRun

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

PAPER = Path(__file__).parents[2] / "configs" / "paper.toml"
RUN = TrainingRun(Path(), 1)
LATENTS = (3, 4, 2, 8, 8)
H100 = 989.0


def real_batch(config):
    rows, length = LATENTS[0], config.caption_length
    return Batch(
        latents=torch.randn(LATENTS),
        velocity=torch.randn(LATENTS),
        video_sigma=torch.rand(rows),
        video_weight=torch.ones(rows),
        condition=torch.randn(rows, config.condition_length, config.text_dim),
        caption=torch.ones(rows, length, dtype=torch.long),
        target=torch.ones(rows, length, dtype=torch.long),
        text_sigma=torch.rand(rows),
        text_weight=torch.ones(rows),
        caption_mask=torch.ones(rows, length, dtype=torch.bool),
    )


def test_the_work_of_blocks_that_were_not_run_is_what_it_is_when_they_are():
    transformer = tiny_transformer(num_layers=5).train()
    kept, weights = {}, {p.untyped_storage().data_ptr() for p in transformer.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    batch = real_batch(transformer.config)
    with (
        FlopCounterMode(display=False) as counter,
        sdpa_kernel(SDPBackend.MATH),
        torch.autocast("cpu", torch.bfloat16),
    ):
        losses(transformer, batch, KNOWLEDGE_RECALL, 0)
    with saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        losses(transformer, batch, KNOWLEDGE_RECALL, 0)
    config = dict(transformer.config) | WIDTHS | CAPTIONS | {"num_layers": 5}
    work = measure_step(config, KNOWLEDGE_RECALL, RUN, LATENTS)
    assert work.plain.forward_flops == counter.get_total_flops()
    real = sum(storage.nbytes() for storage in kept.values())
    assert work.plain.saved_bytes == pytest.approx(real, rel=0.02)
    assert work.checkpointed.saved_bytes < work.plain.saved_bytes / 2
    assert work.checkpointed.flops - work.plain.flops < work.plain.forward_flops


@pytest.fixture(scope="module")
def paper():
    """The paper's two stages as its config has them."""
    return {name: read_stage(name, PAPER) for name in ("recall", "refine")}


def test_the_paper_s_config_is_the_paper_s_run(paper):
    recall, refine = paper["recall"], paper["refine"]
    assert (recall.run.num_steps, recall.run.learning_rate) == (40_000, 2e-4)
    assert (refine.run.num_steps, refine.run.learning_rate) == (60_000, 5e-5)
    assert BETAS == (0.9, 0.95)
    for stage in (recall, refine):
        assert (stage.run.optimizer, stage.run.weight_decay) == ("adamw", 0.0)
        assert (stage.data.num_frames, stage.data.height, stage.data.width) == (81, 480, 832)
        assert stage.stage.text_weight == 1.0  # lambda_t = N_v / N_t on sums
        assert stage.run.trainable == "everything"
    assert (recall.stage.target, refine.stage.target) == ("prompt", "caption")
    assert (recall.stage.condition_dropout, refine.stage.condition_dropout) == (0.8, 0.2)
    assert recall.data.sources != refine.data.sources
    assert (recall.start, refine.start) == (None, recall.run.out_dir)


@pytest.fixture(scope="module")
def plan(paper):
    return plan_stage(paper["recall"], "wan2.1-1.3b", Hardware(16, H100, 0.4))


def test_the_paper_s_run_fits_on_its_gpus_in_about_its_week(plan):
    assert plan.parameters == plan.trained_parameters == pytest.approx(3.05e9, rel=1e-3)
    assert (plan.video_tokens, plan.text_tokens, plan.rows_per_gpu) == (32_760, 256, 2)
    # 6 x parameters x tokens and attention come to 1.0 PFLOP a row, 1.25 with blocks done twice
    assert plan.flops_per_step / plan.batch_size == pytest.approx(1.25e15, rel=0.02)
    assert plan.flops == plan.flops_per_step * 40_000
    assert plan.hours == pytest.approx(plan.flops / (16 * H100 * 0.4 * 1e12) / 3600)
    assert 100_000 / 40_000 * plan.hours < 8 * 24
    assert plan.memory["fsdp2, checkpointing"].total < 80 < plan.memory["ddp, all kept"].total


def test_shares_of_the_weights_are_the_world_s(plan):
    ddp, fsdp2 = (plan.memory[f"{kind}, checkpointing"] for kind in ("ddp", "fsdp2"))
    assert ddp.weights == pytest.approx(4 * plan.parameters / 1e9)
    assert ddp.optimizer == pytest.approx(2 * ddp.weights, rel=1e-5)
    assert ddp.average == ddp.gradients == ddp.weights
    for name in ("weights", "gradients", "optimizer", "average"):
        assert getattr(fsdp2, name) == pytest.approx(getattr(ddp, name) / 16)
    assert fsdp2.activations == ddp.activations
    assert ddp.total == pytest.approx(sum(vars(ddp).values()))


@pytest.mark.parametrize("trainable", ["text", "text+lora"])
def test_frozen_weights_have_no_gradients_states_or_average(paper, trainable):
    run = replace(paper["recall"].run, trainable=trainable, batch_size=1)
    wanted = replace(paper["recall"], run=run, data=None)
    plan = plan_stage(wanted, "demo", Hardware(1, H100, 0.4))
    memory = plan.memory["one GPU, checkpointing"]
    assert plan.trained_parameters < plan.parameters
    assert memory.gradients == memory.average == pytest.approx(4 * plan.trained_parameters / 1e9)
    assert memory.gradients < memory.weights
    assert memory.gathered == 0


def test_muon_keeps_less_than_adam(paper):
    run = replace(paper["recall"].run, parallel="ddp", batch_size=1)
    adam, muon = (
        plan_stage(
            replace(paper["recall"], run=replace(run, optimizer=name), data=None),
            None,
            Hardware(1, H100, 0.4),
        ).memory["one GPU, all kept"]
        for name in ("adamw", "muon")
    )
    assert muon.optimizer < adam.optimizer
    assert muon.weights == adam.weights


def test_what_cannot_be_planned_is_refused(paper, tmp_path):
    gpus = Hardware(16, H100, 0.4)
    with pytest.raises(ValueError, match=r"preset 'wan': must be one of wan2\.1-1\.3b"):
        plan_stage(paper["recall"], "wan", gpus)
    with pytest.raises(ValueError, match="batch_size 32: must be a multiple of the 5 processes"):
        plan_stage(paper["recall"], "wan2.1-1.3b", replace(gpus, world_size=5))
    odd = replace(paper["recall"], data=replace(paper["recall"].data, height=481))
    with pytest.raises(ValueError, match="height 481: must be a multiple of 16"):
        plan_stage(odd, "wan2.1-1.3b", gpus)
    away = replace(paper["recall"], data=replace(paper["recall"].data, checkpoint=tmp_path))
    with pytest.raises(OSError, match=str(tmp_path)):
        plan_stage(away, None, gpus)
