"""Clips in the making as training rows, by a tiny network."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_transformer
from tiny_training import (
    CONFIG,
    RUN,
    run_until_killed,
    tiny_batches,
    tiny_rollouts,
    tiny_scenes,
    tiny_train,
)

from model.schedule import TIMESTEPS, sigma_grid
from model.training.data import draw_samples
from model.training.knowledge import Knowledge
from model.training.stage import CAPABILITY_REFINEMENT

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

WHOLE = slice(0, 4)
CHANGES = {"mixture": {"joint": 1.0}, "question_share": 0.0, "rollout_every": 2}
STAGE = replace(CAPABILITY_REFINEMENT, **CHANGES)
PLAIN = replace(RUN, autocast=False)


def a_batch(seed=0, stage=STAGE):
    generator = torch.Generator().manual_seed(seed)
    samples, _ = draw_samples(random.Random(seed), tiny_scenes(), stage, 4)
    return tiny_batches().make(samples, stage, generator)


@pytest.fixture
def transformer():
    return tiny_transformer(**CONFIG).eval()


def test_every_second_row_is_replaced_and_no_other(transformer):
    batch = a_batch()
    shown = tiny_rollouts(transformer, STAGE).into(batch, WHOLE)
    for name in ("latents", "caption", "condition", "velocity", "target"):
        old, new = getattr(batch, name), getattr(shown, name)
        same = [torch.equal(*pair) for pair in zip(old, new, strict=True)]
        assert same == [False, True, False, True], name


def test_every_third_row_is_the_other_branch_of_guidance(transformer):
    rollouts = tiny_rollouts(transformer, STAGE)
    seen = [rollouts.into(a_batch(), WHOLE) for _ in range(6)]
    alone = [[not row.any() for row in shown.condition[::2]] for shown in seen]
    assert alone == [[True, False], [False, False], [False, True]] * 2
    for shown, flags in zip(seen, alone, strict=True):
        assert all(shown.text_sigma[::2][flags] == 1)
    first, last = seen[0], seen[3]
    assert torch.equal(first.caption[0], last.caption[0])  # the words of which are noise throughout


def test_where_nothing_is_guided_no_row_is_the_other_branch(transformer):
    rollouts = tiny_rollouts(transformer, STAGE, guidance_above=0.98)
    seen = [rollouts.into(a_batch(), WHOLE) for _ in range(6)]
    for shown in seen:
        has_other = any(not row.any() for row in shown.condition[::2])
        assert not has_other or shown.video_sigma[0] > 0.98
    assert not all(row.any() for row in seen[0].condition[::2])
    assert seen[-1].video_sigma[0] < 0.98


def test_rows_move_as_the_sampler_moves_them(transformer):
    rollouts = tiny_rollouts(transformer, STAGE, PLAIN, guidance_scale=1.0)
    seen = [rollouts.into(a_batch(), WHOLE) for _ in range(4)]
    grids = [sigma_grid(n, 8.0)[:4] for n in range(8, 25)]
    assert any([s.video_sigma[0].item() for s in seen] == pytest.approx(grid) for grid in grids)
    for before, after in itertools.pairwise(seen[1:]):  # in which the first row has its words
        with torch.no_grad():
            velocity, _ = transformer(
                before.latents[:1],
                TIMESTEPS * before.video_sigma[:1],
                before.condition[:1],
                before.caption[:1],
                TIMESTEPS * before.text_sigma[:1],
            )
        step = after.video_sigma[0] - before.video_sigma[0]
        expected = before.latents[0] + step * velocity[0]
        torch.testing.assert_close(after.latents[0], expected, atol=1e-4, rtol=0)


def test_the_answers_are_what_is_learnt(transformer):
    shown = tiny_rollouts(transformer, STAGE).into(a_batch(), WHOLE)
    torch.testing.assert_close(shown.velocity[::2], shown.latents[::2] / shown.video_sigma[0])
    assert (shown.target[::2] == 1).all()


def test_late_rows_weigh_less_and_early_ones_learn_no_caption(transformer):
    rollouts = tiny_rollouts(transformer, STAGE, video_shift=3.1)
    rows = [rollouts.into(a_batch(), WHOLE) for _ in range(60)]
    for shown in rows:
        sigma = shown.video_sigma[0].item()
        assert shown.video_weight[0].item() == pytest.approx(min(1, (4 * sigma) ** 2))
        assert shown.text_weight[0] == (sigma < 0.9)
    assert min(shown.video_sigma[0].item() for shown in rows) < 0.25


def test_a_finished_draft_is_the_prompt_of_its_row_and_of_the_next_step(transformer):
    rollouts = tiny_rollouts(transformer, STAGE, PLAIN, guidance_scale=1.0, draft_above=0.9)
    rows = [rollouts.into(a_batch(), WHOLE) for _ in range(24)]
    assert {shown.text_sigma[0].item() == 0 for shown in rows} == {True, False}
    for shown in rows:
        words = tiny_batches().conditions_of(shown.caption[:1])[0]
        is_other_branch = not shown.condition[0].any()
        same = torch.equal(shown.condition[0], words)
        assert same == (shown.text_sigma[0] == 0 and not is_other_branch)
        assert not same or not shown.text_weight[0]  # to copy is no skill
        assert not is_other_branch or shown.text_weight[0] == (shown.video_sigma[0] < 0.9)
    for before, after in itertools.pairwise(rows):
        if before.text_sigma[0] == 0 and before.video_sigma[0] > after.video_sigma[0]:
            assert torch.equal(before.caption[0], after.caption[0]) == (after.text_sigma[0] != 1)


def test_the_last_row_reads_its_caption_again(transformer):
    rollouts = tiny_rollouts(transformer, STAGE)
    rows = [rollouts.into(a_batch(), WHOLE) for _ in range(60)]
    firsts = [i for i, shown in enumerate(rows) if shown.video_sigma[0] == 1]
    last, begun = rows[firsts[1] - 1], rows[0]
    assert last.text_sigma[0] == 1
    assert torch.equal(last.caption[0], begun.caption[0])


def test_rows_of_any_mode_give_way_and_the_whole_batch_is_weighed_so(transformer):
    mixed = replace(STAGE, mixture={"understand": 1.0, "text_to_video": 1.0})
    knowledge = Knowledge(rollouts=tiny_rollouts(transformer, mixed))
    for seed in range(4):
        batch = a_batch(seed, mixed)
        whole = knowledge.weighed(batch, short=False)
        assert whole.video_weight[::2].tolist() == whole.text_weight[::2].tolist() == [1, 1]
        assert torch.equal(whole.video_weight[1::2], batch.video_weight[1::2])
        shown = knowledge.into(whole, [], WHOLE, short=False)
        assert not shown.isolate[::2].any()
        assert shown.caption_mask[::2].all()
        assert torch.equal(shown.isolate[1::2], batch.isolate[1::2])


def test_where_nothing_is_isolated_nothing_is_said_of_it(transformer):
    batch = replace(a_batch(), isolate=None)
    assert tiny_rollouts(transformer, STAGE).into(batch, WHOLE).isolate is None


def test_a_clip_that_is_finished_gives_way_to_another(transformer):
    rollouts = tiny_rollouts(transformer, STAGE)
    levels = [rollouts.into(a_batch(), WHOLE).video_sigma[0].item() for _ in range(60)]
    starts = [i for i, level in enumerate(levels) if level == 1]
    assert len(starts) >= 3
    assert all(8 <= b - a <= 24 for a, b in itertools.pairwise(starts))


@pytest.mark.parametrize(("every", "draft_above"), [(2, 0.0), (2, 0.98), (3, 0.0), (4, 0.98)])
def test_two_processes_make_what_one_makes(transformer, every, draft_above):
    stage = replace(STAGE, rollout_every=every)
    whole, *parts = (
        tiny_rollouts(transformer, stage, PLAIN, draft_above=draft_above) for _ in range(3)
    )
    halves = slice(0, 2), slice(2, 4)
    for step in range(12):
        batch = a_batch(step)
        expected = whole.into(batch, WHOLE)
        for half, part in zip(halves, parts, strict=True):
            shown = part.into(batch.rows(half, torch.device("cpu")), half)
            assert torch.equal(shown.caption, expected.caption[half])
            torch.testing.assert_close(shown.latents, expected.latents[half], atol=1e-5, rtol=0)


def test_the_same_step_begins_the_same_clips(transformer):
    rollouts = tiny_rollouts(transformer, STAGE)

    def first(step):
        rollouts.restart(step)
        return rollouts.into(a_batch(), WHOLE).latents[0]

    assert torch.equal(first(3), first(3))
    assert not torch.equal(first(3), first(6))


def test_what_has_no_captions_and_what_is_cut_short_is_left_alone(transformer):
    knowledge = Knowledge(rollouts=tiny_rollouts(transformer, STAGE))
    batch = a_batch()
    assert knowledge.into(batch, [], WHOLE, short=True) is batch
    assert knowledge.weighed(batch, short=True) is batch
    silent = replace(batch, caption=None)
    assert knowledge.into(silent, [], WHOLE, short=False) is silent


def test_a_killed_run_with_rollouts_ends_with_the_same_weights(tmp_path):
    straight, rows = tiny_train(tmp_path / "straight", STAGE)
    list(rows)
    run_until_killed(tmp_path / "killed", kill_after=4, stage=CHANGES)
    resumed, rows = tiny_train(tmp_path / "killed", STAGE)
    assert [row["step"] for row in rows] == [3, 4, 5]
    for name, weight in straight.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_run_learns_from_what_it_makes(tmp_path):
    with_them, without = (
        next(tiny_train(tmp_path / str(every), replace(STAGE, rollout_every=every))[1])
        for every in (2, 0)
    )
    assert with_them["video"] != without["video"]
