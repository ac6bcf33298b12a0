"""The denoising loop with oracles for networks, whose results are known."""

import pytest
import torch
from tiny_models import seeded

from model.sampler import JointState, sample_steps
from model.schedule import sigma_grid

VOCAB = 8
CLEAN = torch.randn(1, 4, 2, 3, 3, generator=seeded(1))
NOISE = torch.randn(1, 4, 2, 3, 3, generator=seeded(2))
CAPTION = torch.randint(VOCAB, (1, 40), generator=seeded(3))
DRAFT = torch.randint(VOCAB, (1, 40), generator=seeded(4))


def oracle(state):
    """Return the true velocity and posterior of one known video and caption."""
    velocity = logits = None
    if state.latents is not None:
        velocity = (state.latents - CLEAN) / max(state.video_sigma, 1e-6)
    if state.caption is not None:
        logits = torch.nn.functional.one_hot(CAPTION, VOCAB).float() * 200 - 100
    return velocity, logits


def unsure(state):
    """Return a network's answer with much left to chance."""
    logits = torch.randn(1, 40, VOCAB, generator=seeded(5)) if state.caption is not None else None
    return oracle(state)[0], logits


def run(
    denoise=oracle, latents=NOISE, token_ids=DRAFT, video=5, text=5, seed=0, shift=3.0, **options
):
    if isinstance(text, int):
        text = sigma_grid(text, 1.0)
    return list(
        sample_steps(
            JointState(latents, token_ids),
            denoise,
            video_sigmas=sigma_grid(video, shift) if video else None,
            text_sigmas=text,
            generator=seeded(seed),
            **options,
        )
    )


def test_oracle_returns_video_and_caption_exactly():
    last = run()[-1]
    torch.testing.assert_close(last.latents, CLEAN, atol=1e-6, rtol=0)
    assert torch.equal(last.token_ids, CAPTION)


def test_oracle_returns_the_caption_of_a_given_video_exactly():
    last = run(latents=CLEAN, video=None)[-1]
    assert torch.equal(last.token_ids, CAPTION)


def test_oracle_returns_the_video_of_a_given_caption_exactly():
    last = run(token_ids=CAPTION, text=None)[-1]
    torch.testing.assert_close(last.latents, CLEAN, atol=1e-6, rtol=0)


def test_every_step_previews_the_clean_video():
    for step in run():
        torch.testing.assert_close(step.clean_latents, CLEAN, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_steps_count_from_one_to_their_total(count):
    steps = run(video=count, text=count)
    assert [(s.index, s.total) for s in steps] == [(i + 1, count) for i in range(count)]


def test_a_given_caption_is_never_touched():
    for step in run(unsure, text=None):
        assert step.token_ids is DRAFT


def test_a_given_video_is_never_touched_and_has_no_preview():
    for step in run(unsure, video=None):
        assert step.latents is NOISE
        assert step.clean_latents is None


def test_an_absent_caption_stays_absent():
    assert {step.token_ids for step in run(token_ids=None, text=None)} == {None}


def test_inputs_are_not_written_into():
    noise, draft = NOISE.clone(), DRAFT.clone()
    run(unsure)
    assert torch.equal(noise, NOISE)
    assert torch.equal(draft, DRAFT)


def levels(**options):
    seen = []

    def watch(state):
        seen.append((state.video_sigma, state.text_sigma))
        return oracle(state)

    run(watch, **options)
    return [list(sigmas) for sigmas in zip(*seen, strict=True)]


def test_each_stream_walks_its_own_grid():
    video, text = levels()
    assert video == sigma_grid(5, 3.0)[:-1]
    assert text == sigma_grid(5, 1.0)[:-1]


def test_a_given_stream_is_shown_at_noise_level_zero():
    assert levels(text=None)[1] == [0.0] * 5
    assert levels(video=None)[0] == [0.0] * 5


def test_the_network_sees_what_the_last_step_reached():
    seen = []

    def watch(state):
        seen.append(state)
        return unsure(state)

    steps = run(watch)
    for state, before in zip(seen[1:], steps, strict=False):
        assert state.latents is before.latents
        assert state.caption is before.token_ids


def test_equal_generators_give_equal_captions():
    one, two = run(unsure), run(unsure)
    assert all(torch.equal(a.token_ids, b.token_ids) for a, b in zip(one, two, strict=True))


def test_another_generator_gives_other_drafts():
    one, two = run(unsure), run(unsure, seed=1)
    assert not torch.equal(one[2].token_ids, two[2].token_ids)


def test_the_global_generator_decides_nothing():
    torch.manual_seed(0)
    one = run(unsure)
    torch.manual_seed(1)
    assert torch.equal(one[2].token_ids, run(unsure)[2].token_ids)


def test_a_reread_caption_is_read_off_the_video_in_the_last_step_alone():
    seen = []

    def denoise(state):
        seen.append(state)
        return unsure(state)

    reread, plain = run(denoise, rereads=True), run(unsure)
    *before, last = seen
    assert last.text_sigma == 1
    assert torch.equal(last.caption, DRAFT)
    assert last.video_sigma == sigma_grid(5, 3.0)[4]
    assert [state.text_sigma for state in before] == sigma_grid(5, 1.0)[:4]
    assert torch.equal(reread[3].token_ids, plain[3].token_ids)  # drafts are shown as they stand
    assert torch.equal(reread[4].token_ids, unsure(last)[1].argmax(-1))


def test_a_given_caption_is_not_reread():
    last = run(token_ids=CAPTION, text=None, rereads=True)[-1]
    assert torch.equal(last.token_ids, CAPTION)


@pytest.mark.parametrize("rereads", [False, True])
def test_a_caption_that_is_finished_before_the_video_waits_for_it(rereads):
    def denoise(state):
        velocity, logits = unsure(state)
        return velocity, logits if state.text_sigma else None

    steps = run(denoise, text=[1.0, 0.5, 0.0, 0.0, 0.0, 0.0], rereads=rereads)
    _, finished, *waits, last = [step.token_ids for step in steps]
    assert all(ids is finished for ids in waits)
    assert torch.equal(finished, unsure(JointState(NOISE, DRAFT, 0.9, 0.5))[1].argmax(-1))
    assert (last is finished) != rereads
    torch.testing.assert_close(steps[-1].latents, CLEAN, atol=1e-6, rtol=0)
