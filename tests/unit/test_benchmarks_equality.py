"""Both sides of a benchmark make the same thing, and its check would notice if they did not."""

import numpy as np
import pytest
import torch

from benchmarks import sampler, step
from benchmarks.captioning import Captioner
from benchmarks.encoding import Files, moving_waves
from benchmarks.joint import Maker
from benchmarks.pipeline import Peers
from benchmarks.small import new_transformer, wan_twin
from benchmarks.together import Crowd

TINY = {"num_layers": 2, "num_attention_heads": 2, "ffn_dim": 64}
TOKENS = 256


@pytest.fixture(scope="module")
def transformer():
    return new_transformer(**TINY)


def test_both_captions_are_equal_in_every_step(transformer):
    captioner = Captioner(transformer, TOKENS, steps=6)
    captioner.check()
    assert len(captioner.cached()) == 6


def test_a_stale_cache_is_noticed(transformer, monkeypatch):
    captioner = Captioner(transformer, TOKENS, steps=6)
    cache_video = transformer.cache_video
    stale = lambda clip, *rest: cache_video(clip.flip(2, 3) + 1, *rest)  # noqa: E731
    monkeypatch.setattr(transformer, "cache_video", stale)
    with pytest.raises(AssertionError, match="another one"):
        captioner.check()


def test_shared_steps_give_every_caption_its_own_tokens(transformer):
    crowd = Crowd(transformer, 3, TOKENS, steps=6)
    crowd.check()
    assert len(crowd.together()) == 3


def test_captions_that_get_the_answer_of_another_are_noticed(transformer, monkeypatch):
    crowd = Crowd(transformer, 3, TOKENS, steps=6)
    denoise_text = transformer.denoise_text
    swapped = lambda *args, **options: denoise_text(*args, **options).flip(0)  # noqa: E731
    monkeypatch.setattr(transformer, "denoise_text", swapped)
    with pytest.raises(AssertionError, match="made another caption"):
        crowd.check()


def test_a_caption_changes_the_video_only_where_it_is_seen(transformer):
    Maker(transformer, TOKENS).check()


def test_the_operations_of_attention_are_counted(transformer):
    one, two, three = (Maker(transformer, TOKENS * n).flops(joint=False) for n in (1, 2, 3))
    config = transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    assert three - 2 * two + one == 2 * config.num_layers * 4 * TOKENS**2 * width


def test_a_caption_costs_operations(transformer):
    maker = Maker(transformer, TOKENS)
    assert maker.flops(joint=True) > maker.flops(joint=False)


def test_diffusers_network_gives_the_same_velocity(transformer):
    inputs = step.arguments(transformer, TOKENS)
    one, other = step.ours(transformer, inputs), step.theirs(wan_twin(transformer), inputs)
    step.check(one, other)
    with pytest.raises(AssertionError, match="not close"):
        step.check(one, other + 1e-3)


def test_diffusers_pipeline_makes_the_same_video():
    peers = Peers(side=32, num_frames=5, steps=2)
    peers.check()
    peers._side = 64
    assert peers.ours().shape == peers.theirs().shape == (5, 64, 64, 3)


def test_the_optimized_pipeline_makes_the_same_video_and_leaves_diffusers_alone():
    peers = Peers(side=32, num_frames=5, steps=2)
    before = peers.theirs()
    peers.optimize("eager")
    peers.check()
    assert np.array_equal(peers.theirs(), before)
    assert peers._ours.transformer.blocks[0].attn1.fused_projections
    torch.compiler.reset()


def test_both_samplers_move_the_same_tokens_and_draw_alike():
    sampler.check_certain(steps=5)
    sampler.check_distribution()


def test_a_skewed_draw_is_noticed(monkeypatch):
    text_step = sampler.text_step
    warm = lambda ids, logits, *rest: text_step(ids, 0.8 * logits, *rest)  # noqa: E731
    monkeypatch.setattr(sampler, "text_step", warm)
    with pytest.raises(AssertionError, match="frequencies differ"):
        sampler.check_distribution()


def test_a_sweep_times_every_step_of_ours_once():
    measured = list(sampler.sweep(steps=10, length=4, vocabulary=50))
    assert [len(ours) for ours, _ in measured] == [5, 5]


def test_both_files_show_the_same_frames(tmp_path):
    frames = moving_waves(9, 64, 96)
    files = Files(tmp_path, frames)
    files.check()
    files._frames = np.roll(frames, 24, axis=2)
    with pytest.raises(AssertionError, match="levels off"):
        files.check()
    assert torch.from_numpy(frames).float().diff(dim=0).abs().mean() > 5, "nothing moves"
