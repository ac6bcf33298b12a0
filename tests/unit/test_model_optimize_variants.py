"""What a compiler meets at a server: many shapes, and captions that come and go."""

import pytest
import torch
from tiny_models import clip, inputs, seeded, tiny_pipeline

from model import optimize as switches
from model.training.autoencoder import new_autoencoder

CLOSE = {"atol": 1e-5, "rtol": 0}
QUESTION = "a red circle moving left"


class Compiler:
    """A backend that runs graphs as they are, and counts them."""

    def __init__(self):
        self.num_graphs = 0

    def __call__(self, graph, _):
        self.num_graphs += 1
        return graph.forward


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode(), torch._dynamo.config.patch(recompile_limit=8):
        yield
    torch.compiler.reset()


def tuned(compiler):
    pipeline = tiny_pipeline(understanding_attention="isolated")
    switches.optimize(pipeline, compiler=compiler)
    return pipeline


def run_shapes(transformer, count):
    plain = tiny_pipeline(understanding_attention="isolated").transformer
    for side in range(2, 2 + count):
        arguments = inputs(transformer, batch=1, side=side)
        for one, other in zip(transformer(**arguments), plain(**arguments), strict=True):
            torch.testing.assert_close(one, other, **CLOSE)


def test_ten_shapes_are_two_graphs():
    compiler = Compiler()
    run_shapes(tuned(compiler).transformer, 10)
    assert compiler.num_graphs == 2  # the first shape's, and one whose shape is a variable


def test_a_variant_too_many_runs_without_being_compiled(monkeypatch):
    monkeypatch.setattr(switches, "_MAX_VARIANTS", 1)
    compiler = Compiler()
    with torch._dynamo.config.patch(recompile_limit=1):
        run_shapes(tuned(compiler).transformer, 3)
    assert compiler.num_graphs == 1


def captions(pipeline, instruction, count):
    return [
        pipeline.begin_understanding(
            clip(frames=1 + 4 * (seed % 3), side=16),
            instruction=instruction,
            num_inference_steps=3,
            seed=seed,
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize("instruction", [None, QUESTION], ids=["caption", "question"])
def test_steps_of_captions_agree_however_many_share_them(instruction):
    compiler = Compiler()
    one, other = tuned(compiler), tiny_pipeline(understanding_attention="isolated")
    mine, theirs = (captions(pipeline, instruction, 5) for pipeline in (one, other))
    for count in (1, 2, 3):
        one.advance(mine[:count])
        other.advance(theirs[:count])
    known = compiler.num_graphs
    one.advance(mine[3:])
    for a, b in zip(one.advance(mine[1:]), (*other.advance(theirs[1:3]), None, None), strict=True):
        assert b is None or torch.equal(a.token_ids, b.token_ids)
    assert compiler.num_graphs == known  # neither their number nor their clips' lengths matter


def test_the_whole_step_of_a_caption_is_within_rounding():
    one, other = tuned("eager").transformer, tiny_pipeline().transformer
    given = inputs(one, batch=1)
    logits = []
    for transformer in (one, other):
        states = given["encoder_hidden_states"]
        cache = transformer.cache_video(given["hidden_states"], torch.zeros(1), states)
        condition = transformer.prepare_condition(states)
        draft = given["caption_ids"], given["caption_timestep"]
        logits.append(transformer.denoise_text([cache], [condition], *draft))
    torch.testing.assert_close(*logits, **CLOSE)


def test_norms_of_the_autoencoder_are_compiled():
    compiler = Compiler()
    pipeline = tuned(compiler)
    latents = torch.randn(1, 4, 3, 4, 4, generator=seeded())
    plain = tiny_pipeline().decode_latents(latents)
    for mine, theirs in zip(pipeline.decode_latents(latents), plain, strict=True):
        assert abs(mine.astype(int) - theirs.astype(int)).max() <= 1
    assert compiler.num_graphs > 0


def test_cuda_graphs_without_cuda_are_refused():
    with pytest.raises(ValueError, match="cuda_graphs: device cpu is no GPU"):
        switches.optimize(tiny_pipeline(), cuda_graphs=True)


@pytest.mark.slow
def test_real_compilers_regions_agree_in_the_mode_of_cuda_graphs():
    # without CUDA the mode leaves out the graphs alone
    one, other = (tiny_pipeline(understanding_attention="isolated") for _ in range(2))
    one.transformer.text_regions = switches.graphed_regions()
    for instruction in (None, QUESTION):
        mine, theirs = (captions(pipeline, instruction, 1) for pipeline in (one, other))
        for _ in range(3):
            (step,), (plain,) = one.advance(mine), other.advance(theirs)
            assert torch.equal(step.token_ids, plain.token_ids)


@pytest.mark.slow
def test_the_demo_autoencoder_decodes_alike_with_compiled_norms():
    pipeline = tiny_pipeline()
    pipeline.register_modules(vae=new_autoencoder().eval())
    latents = torch.randn(1, pipeline.vae.config.z_dim, 3, 4, 4, generator=seeded())
    plain = torch.cat([torch.from_numpy(part) for part in pipeline.decode_latents(latents)])
    switches.optimize(pipeline, compiler="inductor")
    tuned = torch.cat([torch.from_numpy(part) for part in pipeline.decode_latents(latents)])
    assert (plain.int() - tuned.int()).abs().max() <= 1
