"""Captions that share their steps, and clips that are looked at once."""

import numpy as np
import pytest
import torch
from tiny_models import clip, tiny_pipeline

from model.caches import ByteLimited


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline(understanding_attention="isolated")


def begin(pipeline, seed, instruction=None, steps=4):
    return pipeline.begin_understanding(
        clip(seed=seed), instruction=instruction, num_inference_steps=steps, seed=seed
    )


def alone(pipeline, seed, **options):
    caption = begin(pipeline, seed, **options)
    return [pipeline.advance([caption])[0].token_ids for _ in range(caption.sampling.total)]


def together(pipeline, captions):
    ids = [[] for _ in captions]
    while any(not caption.is_done for caption in captions):
        going = [i for i, caption in enumerate(captions) if not caption.is_done]
        steps = pipeline.advance([captions[i] for i in going])
        for i, step in zip(going, steps, strict=True):
            ids[i].append(step.token_ids)
    return ids


def calls(module):
    """Return a list that grows by every call of `module`."""
    seen = []
    module.register_forward_pre_hook(lambda *_: seen.append(None))
    return seen


@pytest.mark.parametrize("instruction", [None, "what shape is it ?"])
def test_captions_that_share_steps_have_the_tokens_of_each_alone(pipeline, instruction):
    seeds = range(5)
    shared = together(pipeline, [begin(pipeline, seed, instruction) for seed in seeds])
    for seed, ids in zip(seeds, shared, strict=True):
        for one, other in zip(ids, alone(pipeline, seed, instruction=instruction), strict=True):
            assert torch.equal(one, other)


def test_captions_of_different_lengths_of_way_share_what_they_can(pipeline):
    captions = [begin(pipeline, 0, steps=2), begin(pipeline, 1, steps=5)]
    shared = together(pipeline, captions)
    for seed, steps in ((0, 2), (1, 5)):
        for one, other in zip(shared[seed], alone(pipeline, seed, steps=steps), strict=True):
            assert torch.equal(one, other)


def test_captions_with_and_without_a_question_are_two_groups(pipeline):
    assert begin(pipeline, 0).group == begin(pipeline, 1).group
    assert begin(pipeline, 0).group != begin(pipeline, 0, "what shape is it ?").group


def test_bidirectional_captions_never_share():
    assert begin(tiny_pipeline(), 0).group is None


def test_a_clip_and_a_question_seen_before_are_not_encoded_again():
    pipeline = tiny_pipeline(understanding_attention="isolated")
    question = "what shape is it ?"
    fresh = alone(pipeline, 3, instruction=question)
    pipeline.clips.limit(1 << 20)
    pipeline.prompts.limit(1 << 20)
    looks, reads = calls(pipeline.vae.encoder), calls(pipeline.text_encoder)
    passes = calls(pipeline.transformer.patch_embedding)
    begin(pipeline, 3)
    begin(pipeline, 4, question)
    before = len(looks), len(reads), len(passes)
    assert before[1:] == (1, 2)
    again = alone(pipeline, 3, instruction=question)
    assert (len(looks), len(reads), len(passes)) == before
    assert all(torch.equal(one, other) for one, other in zip(again, fresh, strict=True))


def test_another_clip_is_another_key():
    pipeline = tiny_pipeline(understanding_attention="isolated")
    pipeline.clips.limit(1 << 20)
    one, other = begin(pipeline, 0), begin(pipeline, 1)
    assert one.network.clip is not other.network.clip
    assert begin(pipeline, 0).network.clip is one.network.clip


def test_nothing_is_kept_without_a_limit(pipeline):
    begin(pipeline, 0)
    assert pipeline.clips.num_bytes == pipeline.prompts.num_bytes == 0


def cache(max_bytes):
    return ByteLimited(lambda value: value.nbytes, max_bytes)


def test_least_recently_used_goes_first():
    kept = cache(20)
    for key in ("a", "b"):
        kept.get(key, lambda: np.zeros(10, np.uint8))
    first = kept.get("a", None)
    kept.get("c", lambda: np.zeros(10, np.uint8))
    assert kept.num_bytes == 20
    assert kept.get("a", None) is first
    with pytest.raises(TypeError):
        kept.get("b", None)


def test_value_over_the_limit_is_made_and_not_kept():
    kept = cache(20)
    assert kept.get("large", lambda: np.zeros(21, np.uint8)).nbytes == 21
    assert kept.num_bytes == 0


def test_lower_limit_forgets_at_once():
    kept = cache(20)
    kept.get("a", lambda: np.zeros(20, np.uint8))
    kept.limit(0)
    assert kept.num_bytes == 0
