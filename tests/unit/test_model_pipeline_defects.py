"""What the released inference gets wrong, one test each; the text's jump rate and the encoder's
class are in test_model_flow.py and test_model_text.py."""

import pytest
import torch
from tiny_models import MEAN, STD, clip, seeded, tiny_pipeline

from model.latents import encode_pixels, from_uint8
from model.schedule import sigma_grid
from model.text import caption_ids

ONE, OTHER = "a red circle moving left", "a blue square growing"
OPTIONS = {
    "height": 32,
    "width": 32,
    "num_frames": 5,
    "num_inference_steps": 3,
    "guidance_scale": 3.0,
    "seed": 0,
}
NOISE_SHAPE = (1, 4, 2, 4, 4)


@pytest.fixture
def pipeline():
    return tiny_pipeline()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def generate(pipeline, prompt=ONE, **options):
    return list(pipeline.generate_steps(prompt, **(OPTIONS | options)))


def understand(pipeline, **options):
    return list(pipeline.understand_steps(clip(), num_inference_steps=3, seed=0, **options))


def first_inputs(module):
    """Return a list that grows by the first argument of every call of `module`."""
    seen = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    return seen


def test_the_network_reads_normalised_latents_of_a_given_video(pipeline):
    seen = first_inputs(pipeline.transformer.patch_embedding)
    understand(pipeline)
    raw = pipeline.vae.encode(from_uint8(torch.from_numpy(clip())[None])).latent_dist.mode()
    mean, std = (torch.tensor(v).view(1, 4, 1, 1, 1) for v in (MEAN, STD))
    torch.testing.assert_close(seen[0], (raw - mean) / std, atol=1e-5, rtol=0)


def test_frames_are_decoded_from_denormalised_latents(pipeline):
    latents = torch.randn(NOISE_SHAPE, generator=seeded())
    mean, std = (torch.tensor(v).view(1, 4, 1, 1, 1) for v in (MEAN, STD))
    expected = pipeline.vae.decode(latents * std + mean).sample
    frames = torch.cat([torch.from_numpy(chunk) for chunk in pipeline.decode_latents(latents)])
    difference = from_uint8(frames[None]) - expected
    assert difference.abs().max() <= 1.01 / 255  # half a grey level of 256 over [-1, 1]


def test_the_condition_is_zero_behind_the_prompt(pipeline):
    seen = first_inputs(pipeline.transformer.condition_embedder.text_embedder)
    generate(pipeline, guidance_scale=1)
    tokens = len(pipeline.tokenizer(ONE).input_ids)
    assert seen[0][0, :tokens].abs().sum(-1).all()
    assert not seen[0][0, tokens:].any()


@pytest.mark.parametrize("attention", ["isolated", "bidirectional"])
@pytest.mark.parametrize("null", ["zeros", "empty_prompt"])
def test_guidance_and_captioning_share_one_null_condition(null, attention):
    pipeline = tiny_pipeline(null_condition=null, understanding_attention=attention)
    seen = first_inputs(pipeline.transformer.condition_embedder.text_embedder)
    generate(pipeline, num_inference_steps=1)
    conditional, unconditional = seen
    expected = torch.zeros(1, 12, 16) if null == "zeros" else pipeline.encode_condition("")
    assert torch.equal(unconditional.expand_as(expected), expected)
    assert not torch.equal(conditional, expected)
    seen.clear()
    understand(pipeline)
    assert seen
    assert all(torch.equal(states.expand_as(expected), expected) for states in seen)


@pytest.mark.parametrize("mode", ["joint", "text_to_video", "video_only"])
def test_the_unconditional_branch_never_sees_the_prompt(pipeline, mode):
    one, other = (generate(pipeline, p, mode=mode, guidance_scale=0) for p in (ONE, OTHER))
    assert torch.equal(one[-1].latents, other[-1].latents)


@pytest.mark.parametrize("mode", ["joint", "text_to_video", "video_only"])
def test_the_conditional_branch_sees_the_prompt(pipeline, mode):
    one, other = (generate(pipeline, p, mode=mode, guidance_scale=1) for p in (ONE, OTHER))
    assert (one[-1].latents - other[-1].latents).abs().max() > 1e-3


@pytest.mark.parametrize("mode", ["joint", "text_to_video"])
@pytest.mark.parametrize("attention", ["isolated", "bidirectional"])
def test_times_reach_the_sinusoids_as_float32_thousands_of_sigma(mode, attention):
    pipeline = tiny_pipeline(understanding_attention=attention).to(torch.bfloat16)
    seen = first_inputs(pipeline.transformer.condition_embedder.timesteps_proj)
    generate(pipeline, mode=mode, guidance_scale=1)
    text = sigma_grid(3, 1.0)[:-1] if mode == "joint" else [0.0] * 3
    expected = [s for pair in zip(sigma_grid(3, 3.0), text, strict=False) for s in pair]
    assert {time.dtype for time in seen} == {torch.float32}
    assert [time.item() for time in seen] == pytest.approx([1000 * s for s in expected])


@pytest.mark.parametrize("attention", ["isolated", "bidirectional"])
def test_understanding_keeps_the_video_clean_and_its_times_in_float32(attention):
    pipeline = tiny_pipeline(understanding_attention=attention).to(torch.bfloat16)
    seen = first_inputs(pipeline.transformer.condition_embedder.timesteps_proj)
    understand(pipeline)
    assert {time.dtype for time in seen} == {torch.float32}
    text = [1000 * sigma for sigma in sigma_grid(3, 1.0)[:-1]]
    if attention == "isolated":
        expected = [0.0, *text]
    else:
        expected = [time for step in text for time in (0.0, step)]
    assert [time.item() for time in seen] == pytest.approx(expected)


def test_a_given_prompt_without_padding_equals_its_padding_masked(pipeline):
    step = generate(pipeline, mode="text_to_video", num_inference_steps=1, guidance_scale=1)[0]
    noise = torch.randn(NOISE_SHAPE, generator=seeded())
    padded = caption_ids(pipeline.tokenizer, [ONE], 10)
    velocity, _ = pipeline.transformer(
        noise,
        torch.tensor([1000.0]),
        pipeline.encode_condition(ONE),
        padded,
        torch.tensor([0.0]),
        padded != pipeline.tokenizer.pad_token_id,
    )
    torch.testing.assert_close(step.latents, noise - velocity, atol=1e-5, rtol=0)


def test_isolated_understanding_runs_the_video_once(pipeline):
    isolated = tiny_pipeline(understanding_attention="isolated")
    passes = first_inputs(isolated.transformer.patch_embedding)
    understand(isolated, instruction="what shape is it ?")
    assert len(passes) == 1


def test_bidirectional_understanding_reads_the_draft_at_every_step(pipeline):
    passes = first_inputs(pipeline.transformer.patch_embedding)
    understand(pipeline)
    assert len(passes) == 3


@pytest.mark.parametrize("instruction", [None, "what shape is it ?", "is it small or large ?"])
def test_isolated_understanding_equals_the_isolated_forward(instruction):
    pipeline = tiny_pipeline(understanding_attention="isolated")
    steps = understand(pipeline, instruction=instruction)
    clean = encode_pixels(pipeline.vae, from_uint8(torch.from_numpy(clip())[None]))
    condition = torch.zeros(1, 12, 16)
    if instruction is not None:
        condition = pipeline.encode_condition(instruction)
    before = steps[-2].token_ids
    _, logits = pipeline.transformer(
        clean,
        torch.tensor([0.0]),
        condition,
        before,
        torch.tensor([1000 * sigma_grid(3, 1.0)[2]]),
        isolate_video=torch.tensor([True]),
    )
    assert torch.equal(steps[-1].token_ids, logits.argmax(-1))
