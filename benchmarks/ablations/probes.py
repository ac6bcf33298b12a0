"""What a small network can do, in figures that move long before its videos are any good."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.ablations.kept import Figures
from benchmarks.ablations.world import Trial, World
from model.denoisers import full_understanding, guided
from model.evaluation.captions import parse_caption
from model.evaluation.trial import ATTRIBUTES, named
from model.flow import corrupt_video
from model.rowwise import RowwiseFlow, generators_of, noisy_captions
from model.sampler import Denoise, JointState, sample_steps
from model.schedule import sigma_grid
from model.text import caption_ids, decode_caption
from model.text_flow import text_flow_of
from model.training.moving_shapes import Scene
from model.transformer import UniViGUTransformer

#: noise levels at which videos are asked for
VIDEO_SIGMAS = (0.4, 0.7, 0.9)
TEXT_STEPS = 8
_BATCH = 32


@torch.inference_mode()
def probe(transformer: UniViGUTransformer, world: World) -> Figures:
    """Return figures of both sides of the hold-out.

    `caption entropy` is the mean cross-entropy in nats of a caption's words from pure noise and a
    clean video, and each attribute the share of captions whose words for it are then the likeliest;
    `caption` is the share of captions made in one step that are all right, and `caption in 8 steps`
    in as many; `video error` is the mean squared error of the velocity beside
    a caption that is pure noise, `video error alone` without one; `prompt gain` is by how much the
    latter is smaller with the prompt than without.
    """
    figures: Figures = {}
    for side, trial in world.trials.items():
        rows = [
            _understanding(transformer, world, trial, part) | _making(transformer, trial, part)
            for part in _parts(len(trial.scenes))
        ]
        found = {name: fmean(row[name] for row in rows) for name in rows[0]}
        figures |= {f"{name}, {side.replace('_', ' ')}": value for name, value in found.items()}
    return figures


def _parts(count: int) -> Iterator[slice]:
    assert count % _BATCH == 0 or count < _BATCH, "means of parts are the mean of equal parts alone"
    for start in range(0, count, _BATCH):
        yield slice(start, start + _BATCH)


def _understanding(
    transformer: UniViGUTransformer, world: World, trial: Trial, part: slice
) -> Figures:
    scenes, latents = trial.scenes[part], trial.latents[part]
    ids = caption_ids(
        world.tokenizer, [s.caption() for s in scenes], transformer.config.caption_length
    )
    null = transformer.null_embeds(trial.prompts[part]).expand_as(trial.prompts[part])
    isolate = transformer.config.understanding_attention == "isolated"
    network = full_understanding(transformer, latents, null, isolate=isolate)
    seeds = range(part.start, part.start + len(scenes))
    flow = text_flow_of(transformer)
    draft = noisy_captions(flow, ids, 1.0, seeds)
    _, logits = network(JointState(None, draft, 0.0, 1.0))
    assert logits is not None
    words = ids != world.tokenizer.pad_token_id
    truth = [named(scene, ATTRIBUTES) for scene in scenes]
    said = [parse_caption(decode_caption(world.tokenizer, row)) for row in logits.argmax(-1)]
    slowly = _captioned(transformer, network, draft, seeds)
    said_slowly = [parse_caption(decode_caption(world.tokenizer, row)) for row in slowly]
    hits = logits.argmax(-1) == ids
    return {
        "caption entropy": float(F.cross_entropy(logits[words], ids[words])),
        **{name: _share_of_words(hits, scenes, name) for name in ATTRIBUTES},
        "caption": _share(truth, said),
        f"caption in {TEXT_STEPS} steps": _share(truth, said_slowly),
    }


def _share_of_words(hits: Tensor, scenes: list[Scene], attribute: str) -> float:
    """Return how often all words of an attribute are hit; every word is one token."""
    spots = [words_of(scene, attribute) for scene in scenes]
    return fmean(bool(row[spot].all()) for row, spot in zip(hits, spots, strict=True))


def words_of(scene: Scene, attribute: str) -> slice:
    """Return which words of a scene's caption say an attribute."""
    words = scene.caption().split()
    if attribute == "motion":
        return slice(words.index(scene.shape) + 1, words.index("plain") - 1)
    at = words.index(scene.answer(attribute))
    return slice(at, at + 1)


def _captioned(
    transformer: UniViGUTransformer, network: Denoise, draft: Tensor, seeds: range
) -> Tensor:
    generators = generators_of(seeds)
    *_, last = sample_steps(
        JointState(None, draft),
        network,
        video_sigmas=None,
        text_sigmas=sigma_grid(TEXT_STEPS, 1.0),
        generator=generators[0],
        text_flow=RowwiseFlow(text_flow_of(transformer), generators),
    )
    assert last.token_ids is not None
    return last.token_ids


def _share(truth: list[dict[str, str]], said: list[dict[str, str]]) -> float:
    return fmean(found == true for true, found in zip(truth, said, strict=True))


def _making(transformer: UniViGUTransformer, trial: Trial, part: slice) -> Figures:
    clean, prompts = trial.latents[part], trial.prompts[part]
    null = transformer.null_embeds(prompts).expand_as(prompts)
    generator = torch.Generator().manual_seed(part.start)
    noise = torch.randn(clean.shape, generator=generator)
    draft = text_flow_of(transformer).noise(len(clean), generator)
    errors: dict[str, list[float]] = {"beside": [], "alone": [], "unprompted": []}
    for sigma in VIDEO_SIGMAS:
        latents = corrupt_video(clean, noise, torch.full((len(clean),), sigma))
        for name, condition, caption in (
            ("beside", prompts, draft),
            ("alone", prompts, None),
            ("unprompted", null, None),
        ):
            network = guided(transformer, condition, guidance_scale=1, noise_caption=None)
            velocity, _ = network(JointState(latents, caption, sigma, 1.0))
            assert velocity is not None
            errors[name].append(float(F.mse_loss(velocity, noise - clean)))
    return {
        "video error": fmean(errors["beside"]),
        "video error alone": fmean(errors["alone"]),
        "prompt gain": fmean(errors["unprompted"]) - fmean(errors["alone"]),
    }
