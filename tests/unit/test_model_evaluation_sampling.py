"""A row of a batch is what its request gives alone."""

import numpy as np
import pytest
import torch
from tiny_models import clip, tiny_pipeline

from model.evaluation.sampling import BatchSampler, Knobs

PROMPTS = ["a red circle moving left", "a blue square", "a shape", "a cross growing"]
SEEDS = [5, 6, 7, 5]


def sampler(batch_size=3, **config):
    pipeline = tiny_pipeline(**config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, BatchSampler(pipeline, Knobs(num_inference_steps=3, batch_size=batch_size))


@pytest.mark.parametrize("draft_above", [0.0, 0.8])
@pytest.mark.parametrize("text_flow", ["discrete_uniform", "discrete_mask", "embedding"])
def test_generated_rows_equal_single_requests(text_flow, draft_above):
    pipeline, batched = sampler(text_flow=text_flow)
    pipeline.config.serving["draft_above"] = draft_above
    for made, prompt, seed in zip(batched.generate(PROMPTS, SEEDS), PROMPTS, SEEDS, strict=True):
        alone = pipeline.generate(prompt, seed=seed, num_inference_steps=3)
        assert np.abs(made.frames.astype(int) - alone.frames).max() <= 1
        assert made.caption == alone.caption


def test_videos_without_captions_equal_single_requests():
    pipeline, batched = sampler()
    for made, prompt, seed in zip(
        batched.generate(PROMPTS, SEEDS, "video_only"), PROMPTS, SEEDS, strict=True
    ):
        alone = pipeline.generate(prompt, seed=seed, num_inference_steps=3, mode="video_only")
        assert np.abs(made.frames.astype(int) - alone.frames).max() <= 1
        assert made.caption is None


@pytest.mark.parametrize("attention", ["isolated", "bidirectional"])
@pytest.mark.parametrize("questions", [None, ["what color is the shape ?"] * 4])
def test_captions_and_answers_equal_single_requests(attention, questions):
    pipeline, batched = sampler(understanding_attention=attention)
    clips = [clip(seed=i) for i in range(4)]
    said = list(batched.understand(clips, SEEDS, questions))
    assert said == [
        pipeline.understand(one, seed=seed, instruction=None if questions is None else questions[0])
        for one, seed in zip(clips, SEEDS, strict=True)
    ]
    assert len({*said}) > 1


def test_results_do_not_depend_on_the_batch_size():
    made = [[m.caption for m in sampler(size)[1].generate(PROMPTS, SEEDS)] for size in (1, 2, 4)]
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("text_flow", ["discrete_uniform", "embedding"])
def test_tokens_are_counted_without_padding(text_flow):
    pipeline, batched = sampler(text_flow=text_flow)
    caption = "a red circle moving left"  # 5 words and the end in 10 places
    ids = pipeline.tokenizer(caption).input_ids
    bias = torch.full((66,), -100.0)
    bias[ids[1]] = 100.0  # whatever it sees, it says the second word
    pipeline.transformer.text_proj_out.weight.data.zero_()
    pipeline.transformer.text_proj_out.bias.data.copy_(bias)
    shares = list(batched.recover_tokens([clip()] * 4, [caption] * 4, SEEDS, [0.5, 1.0]))
    assert np.array(shares) == pytest.approx(np.full((4, 2), 1 / 6))


def test_the_autoencoder_is_asked_for_every_clip_alone():
    _, batched = sampler(batch_size=2)
    clips = [clip(seed=i) for i in range(3)]
    together = list(batched.reconstruct(clips))
    for one, coded in zip(clips, together, strict=True):
        (alone,) = batched.reconstruct([one])
        assert np.abs(coded.astype(int) - alone).max() <= 1
