"""Eight captions that share their steps against the same eight one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_condition, new_ids, new_latents, new_transformer, seeded
from model.denoisers import Question, look_at
from model.sampler import JointState, Sampling
from model.schedule import sigma_grid
from model.transformer import UniViGUTransformer
from model.understanding import Understanding, advance

CAPTIONS, VIDEO_TOKENS, CAPTION_LENGTH, STEPS, PAIRS = 8, 2048, 32, 20, 3


class Crowd:
    """Questions about clips of their own, each with a seed of its own; the clips are looked at.

    Args:
        transformer: the network.
        count: how many.
        video_tokens: N_v of each clip.
        steps: K.
    """

    def __init__(
        self, transformer: UniViGUTransformer, count: int, video_tokens: int, steps: int
    ) -> None:
        self._transformer, self._steps = transformer, steps
        with torch.inference_mode():
            self._questions = [
                Question(
                    look_at(transformer, new_latents(transformer, video_tokens, seed)),
                    transformer.prepare_condition(new_condition(transformer, seed)),
                )
                for seed in range(count)
            ]

    @torch.inference_mode()
    def together(self) -> list[Tensor]:
        """Return all captions, denoised in common steps."""
        captions = self._begin()
        while not captions[0].is_done:
            steps = advance(self._transformer, captions)
        return [step.token_ids for step in steps if step.token_ids is not None]

    @torch.inference_mode()
    def apart(self) -> list[Tensor]:
        """Return all captions, one denoised after the other."""
        finished = []
        for caption in self._begin():
            while not caption.is_done:
                (step,) = advance(self._transformer, [caption])
            finished.append(step.token_ids)
        return [ids for ids in finished if ids is not None]

    def check(self) -> None:
        """Assert that both give the same tokens."""
        for one, other in zip(self.together(), self.apart(), strict=True):
            assert torch.equal(one, other), "a shared step made another caption"

    def _begin(self) -> list[Understanding]:
        return [
            Understanding(
                Sampling(
                    JointState(None, new_ids(self._transformer, seed)),
                    video_sigmas=None,
                    text_sigmas=sigma_grid(self._steps, 1.0),
                    generator=seeded(seed),
                ),
                question,
            )
            for seed, question in enumerate(self._questions)
        ]


def run() -> list[Row]:
    """Measure the steps, without the first look at the clips."""
    transformer = new_transformer(caption_length=CAPTION_LENGTH)
    crowd = Crowd(transformer, CAPTIONS, VIDEO_TOKENS, STEPS)
    crowd.check()
    pairs = interleave(timed(crowd.apart), timed(crowd.together), PAIRS)
    return [
        Row(
            f"{CAPTIONS} captions: one by one / sharing their steps",
            pairs.ratio,
            limit=1.3,
            sense="min",
            detail=pairs.describe("one by one", "together"),
        )
    ]
