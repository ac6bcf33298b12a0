"""A whole checkpoint at work: modes, refusals, files and repeatability."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_models import SERVING, clip, tiny_pipeline, tiny_tokenizer

from model import PromptTooLong, UniViGUPipeline
from model.presets import WAN_480P
from model.training.components import new_tokenizer
from model.training.moving_shapes import vocabulary

PROMPT = "a red circle moving left"
OPTIONS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "num_inference_steps": 3,
    "guidance_scale": 3.0,
    "seed": 0,
}


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def generate(pipeline, prompt=PROMPT, **options):
    return list(pipeline.generate_steps(prompt, **(OPTIONS | options)))


def understand(pipeline, video=None, **options):
    video = clip() if video is None else video
    return list(
        pipeline.understand_steps(video, **({"num_inference_steps": 3, "seed": 0} | options))
    )


def assert_equal_steps(ones, others):
    for one, other in zip(ones, others, strict=True):
        for name in ("latents", "token_ids"):
            mine, theirs = getattr(one, name), getattr(other, name)
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_joint_makes_video_and_caption(pipeline):
    made = pipeline.generate(PROMPT, seed=0)
    assert (made.frames.shape, made.frames.dtype) == ((5, 32, 32, 3), np.uint8)
    assert isinstance(made.caption, str)


@pytest.mark.parametrize("mode", ["text_to_video", "video_only"])
def test_other_modes_make_a_video_without_caption(pipeline, mode):
    made = pipeline.generate(PROMPT, seed=0, mode=mode)
    assert made.frames.shape == (5, 32, 32, 3)
    assert made.caption is None


def test_defaults_are_the_serving_values(pipeline):
    serving = SERVING | {"sizes": [[64, 32]], "num_frames": 9, "num_inference_steps": 1}
    assert tiny_pipeline(serving=serving).generate(PROMPT, seed=0).frames.shape == (9, 64, 32, 3)


def test_options_go_before_defaults(pipeline):
    made = pipeline.generate(PROMPT, seed=0, height=64, num_frames=1, num_inference_steps=1)
    assert made.frames.shape == (1, 64, 32, 3)


def test_a_checkpoint_says_down_to_which_noise_it_is_guided(pipeline):
    nowhere = tiny_pipeline(serving=SERVING | {"guidance_above": 1.0})
    frames = [
        some.generate(PROMPT, seed=0, guidance_scale=scale).frames
        for some, scale in ((nowhere, 3.0), (pipeline, 1.0), (pipeline, 3.0))
    ]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def conditions(pipeline, **options):
    """Return the steps of a request, and the text of the condition of every pass but the null's."""
    seen, run = [], pipeline.encode_condition
    pipeline.encode_condition = lambda text, *field: seen.append(text) or run(text, *field)
    try:
        return generate(pipeline, **options), seen
    finally:
        del pipeline.encode_condition


@pytest.mark.parametrize("text_flow", ["discrete_uniform", "embedding"])
def test_a_checkpoint_may_ask_for_the_video_of_its_finished_draft(text_flow):
    serving = SERVING | {"draft_above": 0.5, "rereads_caption": True}
    pipeline = tiny_pipeline(serving=serving, text_flow=text_flow)
    steps, seen = conditions(pipeline, num_inference_steps=8)
    levels = pipeline.draft_sigmas(8)
    drafted = levels.index(0.0)
    assert 0 < drafted < 7
    draft = pipeline.decode_caption(steps[drafted].token_ids)
    assert seen == [PROMPT, draft]
    assert all(torch.equal(a.token_ids, b.token_ids) for a, b in pairwise(steps[drafted - 1 : 7]))


@pytest.mark.parametrize(
    ("above", "config", "words"),
    [
        (1.0, {}, "draft_above 1.0: must be at least 0 and less than 1"),
        (-0.1, {}, "draft_above -0.1: must be at least 0 and less than 1"),
        (0.5, {"caption_length": 13}, "draft_above 0.5: must be 0 where .* 13 tokens .* 12"),
    ],
)
def test_a_draft_that_cannot_be_is_refused_at_loading(above, config, words):
    with pytest.raises(ValueError, match=words):
        tiny_pipeline(serving=SERVING | {"draft_above": above}, **config)


@pytest.mark.parametrize("mode", ["text_to_video", "video_only"])
def test_where_no_caption_is_made_the_prompt_keeps_its_place(mode):
    pipeline = tiny_pipeline(serving=SERVING | {"draft_above": 0.5})
    steps, seen = conditions(pipeline, mode=mode)
    assert seen == [PROMPT]
    assert torch.equal(steps[-1].latents, generate(tiny_pipeline(), mode=mode)[-1].latents)


def test_generated_frames_are_the_decoded_last_latents(pipeline):
    *_, last = generate(pipeline, num_inference_steps=2)
    frames = np.concatenate(list(pipeline.decode_latents(last.latents)))
    assert np.array_equal(frames, pipeline.generate(PROMPT, seed=0).frames)


def test_the_first_frame_alone_is_that_of_the_whole_clip(pipeline):
    *_, last = generate(pipeline, num_frames=9)
    whole = next(iter(pipeline.decode_latents(last.latents)))
    assert np.array_equal(pipeline.decode_first_frame(last.latents), whole[0])


def test_the_prompt_decides_the_video(pipeline):
    one, two = generate(pipeline), generate(pipeline, "a blue square growing")
    assert (one[-1].latents - two[-1].latents).abs().max() > 1e-3


def test_text_to_video_keeps_the_prompt_as_its_caption(pipeline):
    for step in generate(pipeline, mode="text_to_video"):
        assert pipeline.decode_caption(step.token_ids) == PROMPT


def test_understanding_says_something_about_the_video(pipeline):
    assert isinstance(pipeline.understand(clip(), seed=0), str)
    assert pipeline.understand(torch.from_numpy(clip()), seed=0) == pipeline.understand(
        clip(), seed=0
    )


def test_an_instruction_is_the_condition_of_understanding(pipeline):
    seen = []
    embedder = pipeline.transformer.condition_embedder.text_embedder
    hook = embedder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    understand(pipeline, instruction="what shape is it ?")
    hook.remove()
    with torch.inference_mode():
        expected = pipeline.encode_condition("what shape is it ?")
    assert seen
    assert all(torch.equal(states, expected) for states in seen)


def test_mask_source_leaves_no_mask_in_a_finished_caption():
    pipeline = tiny_pipeline(text_flow="discrete_mask")
    steps = generate(pipeline, num_inference_steps=6)
    assert (steps[0].token_ids == 66).any()
    assert (steps[-1].token_ids < 66).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 24}, "height 24: must be a multiple of 16"),
        ({"height": 0}, "height 0: must be a multiple of 16"),
        ({"width": 40}, "width 40: must be a multiple of 16"),
        ({"width": -16}, "width -16: must be a multiple of 16"),
        ({"num_frames": 4}, "num_frames 4: must be a multiple of 4, plus 1"),
        ({"num_frames": 6}, "num_frames 6: must be a multiple of 4, plus 1"),
        ({"num_frames": -3}, "num_frames -3: must be a multiple of 4, plus 1"),
        ({"mode": "understand"}, "mode 'understand': must be joint, text_to_video or video_only"),
        ({"mode": "dance"}, "mode 'dance': must be joint, text_to_video or video_only"),
    ],
)
def test_generation_refuses_naming_field_value_and_rule(pipeline, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        generate(pipeline, **options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 32, 32, 3), "num_frames 4: must be a multiple of 4, plus 1"),
        ((5, 40, 32, 3), "height 40: must be a multiple of 16"),
        ((5, 32, 8, 3), "width 8: must be a multiple of 16"),
    ],
)
def test_understanding_refuses_naming_field_value_and_rule(pipeline, shape, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        understand(pipeline, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("mode", ["joint", "text_to_video", "video_only"])
def test_a_prompt_over_the_limit_is_refused_with_count_and_limit(pipeline, mode):
    with pytest.raises(PromptTooLong, match=r"^prompt has 13 tokens; .* takes at most 12$"):
        generate(pipeline, " ".join(["red"] * 12), mode=mode)


def test_a_prompt_at_the_limit_is_taken(pipeline):
    assert pipeline.max_prompt_tokens == 12
    assert generate(pipeline, " ".join(["red"] * 11), num_inference_steps=1)


def test_a_prompt_that_its_caption_stream_cannot_hold_is_refused(pipeline):
    with pytest.raises(PromptTooLong, match=r"^prompt has 11 tokens; .* at most 10$"):
        generate(pipeline, " ".join(["red"] * 10), mode="text_to_video")


def test_an_instruction_over_the_limit_is_refused_by_its_name(pipeline):
    with pytest.raises(PromptTooLong, match=r"^instruction has 13 tokens; .* at most 12$"):
        understand(pipeline, instruction=" ".join(["red"] * 12))


def test_embedding_flow_makes_a_caption_with_its_video():
    last = generate(tiny_pipeline(text_flow="embedding"))[-1]
    assert last.token_ids.shape == (1, 10)
    assert last.latents.isfinite().all()


def test_embedding_flow_keeps_a_given_prompt():
    last = generate(tiny_pipeline(text_flow="embedding"), mode="text_to_video")[-1]
    given = generate(tiny_pipeline(), mode="text_to_video")[-1]
    assert torch.equal(last.token_ids, given.token_ids)


@pytest.mark.parametrize("attention", ["isolated", "bidirectional"])
def test_embedding_flow_understands(attention):
    pipeline = tiny_pipeline(text_flow="embedding", understanding_attention=attention)
    steps = understand(pipeline)
    assert steps[-1].token_ids.shape == (1, 10)


@pytest.mark.parametrize("mode", ["joint", "text_to_video", "video_only"])
def test_the_same_seed_makes_the_same(pipeline, mode):
    torch.manual_seed(1)
    first = generate(pipeline, mode=mode)
    torch.manual_seed(2)
    assert_equal_steps(first, generate(pipeline, mode=mode))


def test_another_seed_makes_another(pipeline):
    one, two = generate(pipeline), generate(pipeline, seed=1)
    assert not torch.equal(one[-1].latents, two[-1].latents)
    assert not torch.equal(one[0].token_ids, two[0].token_ids)


def test_interleaved_requests_make_what_they_make_alone(pipeline):
    alone = [generate(pipeline), generate(pipeline, "a pink cross", seed=1), understand(pipeline)]
    together = zip(
        pipeline.generate_steps(PROMPT, **OPTIONS),
        pipeline.generate_steps("a pink cross", **(OPTIONS | {"seed": 1})),
        pipeline.understand_steps(clip(), num_inference_steps=3, seed=0),
        strict=True,
    )
    for steps, expected in zip(zip(*together, strict=True), alone, strict=True):
        assert_equal_steps(steps, expected)


def test_steps_leave_gradients_to_their_caller(pipeline):
    steps = pipeline.generate_steps(PROMPT, **OPTIONS)
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_saved_pipeline_loads_as_itself(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = UniViGUPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    assert loaded.caption_tokenizer is None
    assert loaded.config.serving == pipeline.config.serving
    assert_equal_steps(generate(pipeline), generate(loaded))
    assert_equal_steps(understand(pipeline), understand(loaded))


def test_a_caption_tokenizer_of_its_own_is_saved_and_used(tmp_path):
    backwards = new_tokenizer(vocabulary()[::-1])
    tiny_pipeline(caption_tokenizer=backwards).save_pretrained(tmp_path)
    loaded = UniViGUPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.tensor(backwards(PROMPT).input_ids)
    assert loaded.decode_caption(ids) == PROMPT
    assert tiny_pipeline().decode_caption(ids) != PROMPT
    given = generate(loaded, mode="text_to_video")[-1].token_ids
    assert torch.equal(given[0], ids)
    assert loaded.tokenizer(PROMPT).input_ids == tiny_tokenizer()(PROMPT).input_ids


def test_serving_values_that_nobody_set_are_those_of_wan(pipeline):
    assert pipeline.config.serving["fps"] == WAN_480P["fps"]
    assert tiny_pipeline(serving=None).config.serving == WAN_480P


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_a_checkpoint_saved_in_bf16_runs_in_any_precision(tiny_checkpoint, dtype):
    options = {} if dtype is None else {"dtype": dtype}
    loaded = UniViGUPipeline.from_pretrained(tiny_checkpoint, **options)
    small = {"num_frames": 1, "num_inference_steps": 1}
    assert loaded.generate(PROMPT, seed=0, **small).frames.shape == (1, 64, 64, 3)
    assert isinstance(loaded.understand(clip(1, 64), seed=0, num_inference_steps=1), str)


def test_embedding_flow_makes_videos_where_no_caption_is_sampled():
    steps = generate(tiny_pipeline(text_flow="embedding"), mode="video_only")
    assert steps[-1].token_ids is None
