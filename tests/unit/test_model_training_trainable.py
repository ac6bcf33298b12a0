"""What is frozen stays frozen to the bit, and what is trained moves."""

import pytest
import torch
from tiny_models import inputs, tiny_transformer, without_caption
from tiny_training import CONFIG, RUN, tiny_batches, tiny_scenes

from model.training.optimizers import Optimizers
from model.training.run import take_average
from model.training.stage import BASE, CAPABILITY_REFINEMENT
from model.training.trainable import choose_trainable, is_text_part, stage_for
from model.training.trainer import train
from model.training.training_run import TrainingRun

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")


def trained(folder, trainable, **options):
    """Train three steps and return the run and its network, not yet averaged."""
    options = {"num_steps": 3, "batch_size": 4, "learning_rate": 0.05} | options
    run = TrainingRun(out_dir=folder, warmup_steps=1, trainable=trainable, lora_rank=2, **options)
    transformer = tiny_transformer(**CONFIG).train()
    choose_trainable(transformer, trainable, lora_rank=run.lora_rank, seed=0)
    stage = stage_for(CAPABILITY_REFINEMENT, trainable)
    list(train(transformer, tiny_scenes(), tiny_batches(), stage, run, pad_id=0))
    return run, transformer.eval()


def video_only(transformer):
    with torch.inference_mode():
        return transformer(**without_caption(inputs(transformer)))[0]


def plain_name(name):
    return name.replace(".base_layer", "")


@pytest.fixture(scope="module")
def before():
    return tiny_transformer(**CONFIG)


def test_text_parts_are_what_captions_add_to_wan(before):
    parts = {name for name in before.state_dict() if is_text_part(name)}
    assert "blocks.1.ffn_text.net.2.weight" in parts
    assert {"caption_embedding.weight", "text_proj_out.bias"} <= parts
    assert "condition_embedder.text_embedder.linear_1.weight" not in parts
    assert not any(".attn" in name for name in parts)


@pytest.mark.parametrize("trainable", ["text", "text+lora"])
def test_frozen_weights_keep_every_bit(tmp_path, before, trainable):
    _, transformer = trained(tmp_path, trainable)
    was = before.state_dict()
    for name, weight in transformer.state_dict().items():
        if ".lora_" in name:
            continue
        same = torch.equal(weight, was[plain_name(name)])
        assert same != is_text_part(name), name


def test_training_text_parts_keeps_every_bit_of_the_generator(tmp_path, before):
    _, transformer = trained(tmp_path, "text")
    assert torch.equal(video_only(transformer), video_only(before))


def test_adapters_change_the_generator_until_they_are_switched_off(tmp_path, before):
    _, transformer = trained(tmp_path, "text+lora")
    assert not torch.equal(video_only(transformer), video_only(before))
    transformer.disable_adapters()
    assert torch.equal(video_only(transformer), video_only(before))


def test_adapters_start_as_no_change(before):
    transformer = tiny_transformer(**CONFIG)
    choose_trainable(transformer, "text+lora", lora_rank=2, seed=0)
    assert torch.equal(video_only(transformer), video_only(before))


def test_merged_adapters_leave_a_plain_network_that_answers_alike(tmp_path, before):
    run, transformer = trained(tmp_path, "text+lora", ema_decay=0.0)
    expected = video_only(transformer)
    take_average(transformer, run)
    assert transformer.state_dict().keys() == before.state_dict().keys()
    torch.testing.assert_close(video_only(transformer), expected, atol=1e-5, rtol=0)


def test_an_adapter_of_its_own_gives_the_generator_back_and_can_be_loaded(tmp_path, before):
    run, transformer = trained(tmp_path, "text+lora", ema_decay=0.0, merge_lora=False)
    expected = video_only(transformer)
    take_average(transformer, run)
    assert torch.equal(video_only(transformer), video_only(before))
    transformer.load_lora_adapter(tmp_path / "adapter", prefix=None, use_safetensors=True)
    torch.testing.assert_close(video_only(transformer), expected, atol=1e-6, rtol=0)


def test_an_interrupted_run_with_adapters_goes_on_exactly(tmp_path):
    _, straight = trained(tmp_path / "straight", "text+lora", num_steps=4, save_every=2)
    halted = TrainingRun(
        tmp_path / "halted", 4, 4, 0.05, 1, trainable="text+lora", lora_rank=2, save_every=2
    )
    transformer = tiny_transformer(**CONFIG).train()
    choose_trainable(transformer, "text+lora", lora_rank=2, seed=0)
    rows = train(
        transformer, tiny_scenes(), tiny_batches(), CAPABILITY_REFINEMENT, halted, pad_id=0
    )
    for _ in range(3):
        next(rows)
    rows.close()
    _, resumed = trained(tmp_path / "halted", "text+lora", num_steps=4, save_every=2)
    expected = straight.state_dict()
    assert all(torch.equal(w, expected[name]) for name, w in resumed.state_dict().items())


def test_text_alone_is_never_trained_on_video_alone():
    assert "video_only" not in stage_for(CAPABILITY_REFINEMENT, "text").mixture
    assert stage_for(CAPABILITY_REFINEMENT, "text+lora") is CAPABILITY_REFINEMENT
    with pytest.raises(ValueError, match="stage 'base' has no caption"):
        stage_for(BASE, "text")


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"trainable 'all': must be one of everything, text"):
        choose_trainable(tiny_transformer(), "all", lora_rank=2, seed=0)


def test_an_unknown_optimizer_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="optimizer 'sgd': must be one of muon, adamw"):
        TrainingRun(tmp_path, 1, optimizer="sgd")


def test_adapters_are_not_muon_s():
    transformer = tiny_transformer()
    choose_trainable(transformer, "text+lora", lora_rank=2, seed=0)
    muon, adam = Optimizers(transformer, RUN).parts
    factors = {id(p) for name, p in transformer.named_parameters() if ".lora_" in name}
    assert factors <= {id(p) for g in adam.param_groups for p in g["params"]}
    assert not factors & {id(p) for g in muon.param_groups for p in g["params"]}
