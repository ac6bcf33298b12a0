"""The loss in closed form, with oracles for networks."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_models import seeded, tiny_transformer
from tiny_training import CONFIG, tiny_batches

from model.training.data import Sample
from model.training.objective import losses
from model.training.stage import BASE, CAPABILITY_REFINEMENT

PROMPT = "a red circle moving left"
PAD, VOCAB = 0, 66


def batch_of(*modes, stage=CAPABILITY_REFINEMENT):
    samples = [Sample(i, mode, PROMPT, PROMPT) for i, mode in enumerate(modes)]
    return tiny_batches().make(samples, stage, seeded())


def oracle(batch, velocity_error=0.0, logits=None):
    """Return a network that knows the batch, and a list of how it was called."""
    calls = []

    def forward(*args, **captions):
        calls.append((args, captions))
        return batch.velocity + velocity_error, logits

    return forward, calls


def loss(batch, stage=CAPABILITY_REFINEMENT, **answers):
    return losses(oracle(batch, **answers)[0], batch, stage, PAD)


def sure(ids, scale=200.0):
    return torch.nn.functional.one_hot(ids, VOCAB) * scale


def error_in(row, count):
    """Return a velocity error of 2 in one row of `count`."""
    error = torch.zeros(count, 1, 1, 1, 1)
    error[row] = 2.0
    return error


def test_a_perfect_velocity_costs_nothing():
    batch = batch_of("joint", "text_to_video", "understand")
    assert loss(batch, logits=sure(batch.target))["video"] == 0


def test_perfect_logits_cost_nothing():
    batch = batch_of("joint", "understand")
    assert loss(batch, logits=sure(batch.target))["text"].item() == pytest.approx(0, abs=1e-6)


def test_video_loss_is_the_mean_squared_error():
    batch = batch_of("joint", "text_to_video")
    assert loss(batch, velocity_error=0.5)["video"].item() == pytest.approx(0.25)


def test_understanding_samples_have_no_video_loss():
    batch = batch_of("joint", "understand", "joint")
    assert loss(batch, velocity_error=error_in(1, 3))["video"] == 0


def test_video_loss_is_a_mean_over_the_samples_that_have_one():
    batch = batch_of("joint", "understand", "text_to_video")
    assert loss(batch, velocity_error=error_in(0, 3))["video"].item() == pytest.approx(4 / 2)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary():
    batch = batch_of("joint", "understand")
    uniform = torch.zeros(2, 20, VOCAB)
    assert loss(batch, logits=uniform)["text"].item() == pytest.approx(math.log(VOCAB))


def test_clean_text_earns_no_loss():
    batch = batch_of("joint", "text_to_video")
    right, wrong = sure(batch.target), sure(batch.target)
    wrong[1] = sure((batch.target[1] + 1) % VOCAB)
    assert loss(batch, logits=wrong)["text"] == loss(batch, logits=right)["text"]


def test_a_batch_of_clean_text_alone_has_text_loss_zero():
    batch = batch_of("text_to_video", "text_to_video")
    assert loss(batch, logits=torch.randn(2, 20, VOCAB, generator=seeded()))["text"] == 0


def test_padding_counts_as_little_as_the_stage_says():
    batch = batch_of("joint")
    padding = batch.target == PAD
    words, pads = int((~padding).sum()), int(padding.sum())
    # certain and right on words, uniform on padding
    logits = torch.where(padding[..., None], 0.0, sure(batch.target))
    weight = CAPABILITY_REFINEMENT.pad_weight
    expected = weight * pads * math.log(VOCAB) / (words + weight * pads)
    assert loss(batch, logits=logits)["text"].item() == pytest.approx(expected, rel=1e-5)


def test_total_is_video_plus_weighted_text():
    batch, stage = batch_of("joint"), replace(CAPABILITY_REFINEMENT, text_weight=0.25)
    parts = loss(batch, stage, velocity_error=1.0, logits=torch.zeros(1, 20, VOCAB))
    assert parts["total"].item() == pytest.approx(1 + 0.25 * math.log(VOCAB))


def test_video_only_batches_have_no_text_loss():
    batch = batch_of("video_only", stage=BASE)
    parts = loss(batch, BASE, velocity_error=1.0)
    assert set(parts) == {"video", "total"}
    assert parts["total"] == parts["video"]


def test_the_network_is_told_what_the_batch_says():
    batch = batch_of("joint", "understand", "text_to_video")
    forward, calls = oracle(batch, logits=sure(batch.target))
    losses(forward, batch, CAPABILITY_REFINEMENT, PAD)
    ((latents, timestep, condition), captions) = calls[0]
    assert latents is batch.latents
    assert condition is batch.condition
    assert torch.equal(timestep, 1000 * batch.video_sigma)
    assert torch.equal(captions["caption_timestep"], 1000 * batch.text_sigma)
    assert captions["caption_ids"] is batch.caption
    assert captions["caption_mask"] is batch.caption_mask
    assert captions["isolate_video"] is batch.isolate


def test_a_video_only_network_call_has_no_captions():
    batch = batch_of("video_only", stage=BASE)
    forward, calls = oracle(batch)
    losses(forward, batch, BASE, PAD)
    assert calls[0][1] == {}


def test_understanding_teaches_the_video_expert_through_attention_alone():
    transformer = tiny_transformer(**CONFIG)
    losses(transformer, batch_of("understand"), CAPABILITY_REFINEMENT, PAD)["total"].backward()
    assert not transformer.proj_out.weight.grad.any()
    assert transformer.text_proj_out.weight.grad.any()
    assert transformer.blocks[0].ffn.net[2].weight.grad.any()


def test_embedding_captions_are_shown_on_their_path_and_scored_by_their_ids():
    transformer = tiny_transformer(text_flow="embedding", **CONFIG)
    samples = [Sample(i, "joint", PROMPT, PROMPT) for i in range(2)]
    batch = tiny_batches(text_flow="embedding").make(samples, CAPABILITY_REFINEMENT, seeded())
    seen = []
    transformer.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    losses(transformer, batch, CAPABILITY_REFINEMENT, PAD)["total"].backward()
    (captions,) = seen
    rows = transformer.caption_embedding.weight[batch.target]
    clean = 48**0.5 * rows / rows.norm(dim=-1, keepdim=True)
    sigma = batch.text_sigma[:, None, None]
    expected = (1 - sigma) * clean + sigma * batch.caption
    torch.testing.assert_close(captions["caption_embeds"], expected)
    assert "caption_ids" not in captions
    assert transformer.caption_embedding.weight.grad.abs().sum() > 0
