"""What goes into a batch: which words, which noise, which flags."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch
from tiny_models import seeded, tiny_text_encoder, tiny_tokenizer
from tiny_training import CONFIG, tiny_batches, tiny_scenes

from model.schedule import shift_sigma
from model.text import caption_ids, encode_condition
from model.training.data import UNDERSTAND_NOISE, Sample, draw_samples
from model.training.moving_shapes import NUM_PROMPT_FORMS, QUESTIONS
from model.training.stage import BASE, CAPABILITY_REFINEMENT, KNOWLEDGE_RECALL, STAGES

COUNT = 4000
SCENES = tiny_scenes()
LATENTS = torch.randn(12, 4, 2, 4, 4, generator=seeded())  # as `tiny_batches` has them
PROMPT = "a red circle moving left"


@pytest.fixture(scope="module")
def batches():
    return tiny_batches()


def draw(stage, count=COUNT):
    """Draw samples batch by batch, so that whole batches of video only appear too."""
    rng = random.Random(0)
    return [s for _ in range(count // 4) for s in draw_samples(rng, SCENES, stage, 4)[0]]


def make(batches, *modes, stage=CAPABILITY_REFINEMENT, condition=PROMPT, seed=0):
    samples = [Sample(i % 12, mode, condition, PROMPT) for i, mode in enumerate(modes)]
    return batches.make(samples, stage, seeded(seed))


def assert_share(hits, probability, independent=1):
    """Assert a binomial share to 5 standard errors; `independent` draws stand or fall together."""
    error = math.sqrt(probability * (1 - probability) * independent / len(hits))
    assert abs(sum(hits) / len(hits) - probability) <= 5 * error


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_modes_are_drawn_in_the_stage_s_mixture(stage):
    samples = draw(stage)
    for mode, share in stage.mixture.items():
        assert_share([s.mode == mode for s in samples], share, independent=4)


def test_a_batch_is_video_only_as_a_whole_or_not_at_all():
    rng = random.Random(0)
    for _ in range(500):
        modes = {s.mode for s in draw_samples(rng, SCENES, KNOWLEDGE_RECALL, 4)[0]}
        assert modes == {"video_only"} or "video_only" not in modes


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_conditions_are_dropped_as_often_as_the_stage_says(stage):
    dropped = [s.condition is None for s in draw(stage) if s.mode != "understand"]
    assert_share(dropped, stage.condition_dropout)


def test_scenes_to_train_on_are_never_held_out():
    rng = random.Random(1)
    assert not any(scene.is_held_out for scene in SCENES)
    chosen = {s.index for _ in range(50) for s in draw_samples(rng, SCENES, BASE, 4)[0]}
    assert chosen == set(range(len(SCENES)))


def test_recall_learns_to_say_the_prompt_again():
    for sample in draw(KNOWLEDGE_RECALL, 400):
        assert not sample.target.endswith(".")
        if sample.condition is not None:
            assert sample.target == sample.condition


def test_recall_understands_without_any_condition():
    understood = [s for s in draw(KNOWLEDGE_RECALL) if s.mode == "understand"]
    assert {s.condition for s in understood} == {None}
    for sample in understood:
        scene = SCENES[sample.index]
        assert sample.target in {scene.prompt(form) for form in range(NUM_PROMPT_FORMS)}


def test_refinement_learns_the_detailed_caption_in_joint_samples():
    for sample in draw(CAPABILITY_REFINEMENT, 400):
        if sample.mode == "joint":
            assert sample.target == SCENES[sample.index].caption()


def given_texts(open_share):
    stage = replace(CAPABILITY_REFINEMENT, open_share=open_share)
    return [s for s in draw(stage, 400) if s.mode == "text_to_video" and s.condition is not None]


def test_a_given_text_is_the_prompt_itself():
    samples = given_texts(open_share=0)
    assert [s.target for s in samples] == [s.condition for s in samples]


def test_where_the_prompt_is_open_the_given_text_is_the_caption():
    samples = given_texts(open_share=1)
    assert [s.target for s in samples] == [SCENES[s.index].caption() for s in samples]


def test_prompts_are_open_as_often_as_the_stage_says():
    stage = replace(CAPABILITY_REFINEMENT, condition_dropout=0, open_share=0.4)
    prompts = [(s.condition, SCENES[s.index]) for s in draw(stage) if s.mode != "understand"]
    named = [p in {scene.prompt(form) for form in range(NUM_PROMPT_FORMS)} for p, scene in prompts]
    # one open prompt in eight leaves out nothing
    assert_share(named, 1 - 0.4 * 7 / 8)


def test_prompts_are_captions_as_often_as_the_stage_says():
    stage = replace(CAPABILITY_REFINEMENT, condition_dropout=0, detailed_share=0.3, open_share=0.4)
    samples = draw(stage)
    made = [s for s in samples if s.mode != "understand"]
    detailed = [s.condition == SCENES[s.index].caption() for s in made]
    assert_share(detailed, 0.3)
    for sample in itertools.compress(made, detailed):
        assert sample.target == sample.condition
    asked = {s.condition for s in samples if s.mode == "understand"}
    assert asked == {None, *QUESTIONS.values()}


def test_the_condition_of_a_finished_draft_is_that_of_its_text(batches):
    captions = [SCENES[0].caption(), SCENES[1].caption()]
    ids = caption_ids(tiny_tokenizer(), captions, CONFIG["caption_length"])
    samples = [Sample(i, "joint", text, text) for i, text in enumerate(captions)]
    expected = batches.make(samples, CAPABILITY_REFINEMENT, torch.Generator()).condition
    assert torch.equal(batches.conditions_of(ids), expected)


def test_refinement_answers_questions_as_often_as_it_says_and_truly():
    understood = [s for s in draw(CAPABILITY_REFINEMENT) if s.mode == "understand"]
    asked = [s for s in understood if s.condition is not None]
    assert_share([s.condition is not None for s in understood], 0.25)
    names = {question: name for name, question in QUESTIONS.items()}
    assert {s.condition for s in asked} == set(names)
    for sample in asked:
        assert sample.target == SCENES[sample.index].answer(names[sample.condition])


def test_samples_are_decided_by_their_generator():
    one, two = (draw_samples(random.Random(5), SCENES, BASE, 8) for _ in range(2))
    assert one == two


def test_video_is_on_its_path_and_its_velocity_is_noise_minus_clean(batches):
    batch = make(batches, *["joint"] * 12)
    sigma = batch.video_sigma.view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(batch.latents, LATENTS + sigma * batch.velocity)
    noise = batch.velocity + LATENTS
    assert abs(noise.mean()) < 5 / math.sqrt(noise.numel())
    assert noise.std().item() == pytest.approx(1, abs=0.1)


def test_video_noise_levels_are_uniform_ones_shifted(batches):
    sigmas = make(batches, *["joint"] * COUNT).video_sigma
    for quantile in (0.25, 0.5, 0.75):
        expected = shift_sigma(quantile, CAPABILITY_REFINEMENT.video_shift)
        assert torch.quantile(sigmas, quantile).item() == pytest.approx(expected, abs=0.03)


def test_a_given_video_is_clean_up_to_a_little_jitter(batches):
    batch = make(batches, *["understand"] * 12)
    assert not batch.video_sigma.any()
    difference = (batch.latents - LATENTS).flatten(1).std(1)
    assert 0 < difference.min()
    assert difference.max() < 1.3 * UNDERSTAND_NOISE


def test_flags_and_weights_follow_the_mode(batches):
    batch = make(batches, "joint", "understand", "text_to_video", "understand")
    assert batch.isolate.tolist() == [False, True, False, True]
    assert batch.video_weight.tolist() == [1, 0, 1, 0]
    assert batch.text_weight.tolist() == [1, 1, 0, 1]


def test_a_given_text_is_clean_and_its_padding_masked(batches):
    batch = make(batches, "text_to_video", "joint")
    assert torch.equal(batch.caption[0], batch.target[0])
    assert batch.text_sigma[0] == 0
    length = len(tiny_tokenizer()(PROMPT).input_ids)
    assert batch.caption_mask[0].tolist() == [True] * length + [False] * (20 - length)
    assert batch.caption_mask[1].all()


def test_captions_are_corrupted_in_the_measure_of_their_level(batches):
    batch = make(batches, *["joint"] * COUNT)
    clean = (batch.caption == batch.target).float().mean(1)
    expected = 1 - batch.text_sigma * (1 - 1 / 66)
    deviation = (clean - expected) / (expected * (1 - expected) / 20).clamp_min(1e-3).sqrt()
    assert abs(deviation.mean()) < 5 / math.sqrt(COUNT)
    assert batch.text_sigma.mean().item() == pytest.approx(0.5, abs=0.03)


def test_the_two_noise_levels_are_independent(batches):
    batch = make(batches, *["joint"] * COUNT)
    both = torch.stack((batch.video_sigma, batch.text_sigma))
    assert abs(torch.corrcoef(both)[0, 1]) < 5 / math.sqrt(COUNT)


def test_mask_source_hides_captions_behind_the_mask_id():
    batch = make(tiny_batches(text_flow="discrete_mask"), *["joint"] * 50)
    changed = batch.caption != batch.target
    assert changed.any()
    assert (batch.caption[changed] == 66).all()


def test_a_dropped_condition_is_zeros_and_a_kept_one_is_not(batches):
    assert not make(batches, "joint", "understand", condition=None).condition.any()
    assert make(batches, "joint").condition.any()


def test_understanding_is_not_isolated_where_the_network_is_bidirectional():
    batches = tiny_batches(understanding_attention="bidirectional")
    assert make(batches, "joint", "understand").isolate is None


def test_a_dropped_condition_is_the_empty_prompt_where_the_network_s_null_is_that():
    batch = make(tiny_batches(null_condition="empty_prompt"), "joint", condition=None)
    empty = encode_condition(tiny_text_encoder(), tiny_tokenizer(), [""], 24)
    assert empty.any()
    torch.testing.assert_close(batch.condition, empty)


def test_half_of_the_unconditional_samples_have_their_caption_at_full_noise(batches):
    sigmas = make(batches, *["joint"] * COUNT, condition=None).text_sigma
    assert_share((sigmas == 1).tolist(), 0.5)


@pytest.mark.parametrize("condition", [None, PROMPT])
def test_understanding_draws_every_noise_level(batches, condition):
    sigmas = make(batches, *["understand"] * COUNT, condition=condition).text_sigma
    shift = CAPABILITY_REFINEMENT.understand_shift
    mean = shift / (shift - 1) * (1 - math.log(shift) / (shift - 1))  # of a shifted uniform
    assert (sigmas < 1).all()
    assert sigmas.mean().item() == pytest.approx(mean, abs=0.03)


def test_video_only_batches_have_no_caption(batches):
    batch = make(batches, "video_only", "video_only", stage=BASE)
    names = ("caption", "target", "text_sigma", "text_weight", "isolate", "caption_mask")
    assert {getattr(batch, name) for name in names} == {None}


def test_some_batches_show_more_clips_and_only_their_start():
    stage = replace(CAPABILITY_REFINEMENT, short_share=0.3, short_frames=1, short_factor=3)
    rng = random.Random(0)
    drawn = [draw_samples(rng, SCENES, stage, 2) for _ in range(400)]
    assert {(len(samples), num_frames) for samples, num_frames in drawn} == {(6, 1), (2, None)}
    assert_share([num_frames == 1 for _, num_frames in drawn], 0.3)


def test_the_start_of_a_clip_is_its_first_latent_frames(batches):
    samples = [Sample(i, "understand", PROMPT, PROMPT) for i in range(4)]
    made = batches.make(samples, CAPABILITY_REFINEMENT, seeded(), num_frames=1)
    assert made.latents.shape == made.velocity.shape == (4, 4, 1, 4, 4)
    # understood videos are clean up to their jitter
    assert (made.latents - LATENTS[:4, :, :1]).abs().max() <= 6 * UNDERSTAND_NOISE


def test_batches_are_decided_by_their_generator(batches):
    one, two, other = (make(batches, "joint", "understand", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.latents, two.latents)
    assert torch.equal(one.caption, two.caption)
    assert not torch.equal(one.latents, other.latents)
