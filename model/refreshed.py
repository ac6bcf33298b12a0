"""Understanding that looks at the video every few steps only: an approximation, off by default."""

from __future__ import annotations

from torch import Tensor

from model.cached_video import VideoCache
from model.condition import Condition
from model.denoisers import caption_inputs, timestep_of
from model.sampler import JointState
from model.transformer import UniViGUTransformer


class RefreshedUnderstanding:
    """The network for a given video of a `bidirectional` checkpoint.

    There the video reads the caption draft, so that its keys and values change in every step, a
    little. Steps between two looks read those of the last one; with an interval of 1 every step
    equals a whole forward.

    Args:
        transformer: the network.
        latents: (B, C, F, H, W), clean.
        condition: of the question, or the null.
        interval: steps from one look at the video to the next, at least 1.
    """

    def __init__(
        self,
        transformer: UniViGUTransformer,
        latents: Tensor,
        condition: Condition,
        interval: int,
    ) -> None:
        self._transformer, self._condition = transformer, condition
        self._clean, self._interval = latents.to(condition.dtype), interval
        self._cache: VideoCache | None = None
        #: steps so far, and those of them that read the video of an earlier one
        self.num_steps, self.num_reused = 0, 0

    def __call__(self, state: JointState) -> tuple[None, Tensor]:
        """Return the caption logits of a state; see `Denoise`."""
        ids, embeds = caption_inputs(state.caption)
        time = timestep_of(state.text_sigma, self._clean)
        is_due = self.num_steps % self._interval == 0
        self.num_steps += 1
        if is_due:
            self._cache = None  # its memory serves the next
            self._cache, logits = self._transformer.refresh_video(
                self._clean,
                timestep_of(0.0, self._clean),
                self._condition,
                ids,
                time,
                caption_embeds=embeds,
            )
            return None, logits
        assert self._cache is not None
        self.num_reused += 1
        logits = self._transformer.denoise_text(
            [self._cache], [self._condition], ids, time, caption_embeds=embeds
        )
        return None, logits
