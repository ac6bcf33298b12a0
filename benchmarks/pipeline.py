"""Text to video as a whole against diffusers' `WanPipeline` with the same parts and noise levels.

What differs: ours returns uint8 frames, decoded chunk by chunk, and has encoded the empty prompt
when it was loaded; diffusers returns floats in [0, 1] and encodes it for every video.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

from benchmarks.paired import Row, interleave, timed
from benchmarks.small import new_transformer, wan_twin
from model.optimize import optimize
from model.parts import Frames
from model.pipeline import UniViGUPipeline
from model.training.assemble import moving_shapes_pipeline
from model.training.autoencoder import new_autoencoder

SIDE, NUM_FRAMES, STEPS, PAIRS = 64, 9, 8, 15
PROMPT, SEED, GUIDANCE = "a red circle moving left", 0, 3.0


class OurLevels(FlowMatchEulerDiscreteScheduler):  # type: ignore[misc]  # diffusers has no types
    """Diffusers' scheduler at the noise levels of `model.schedule.sigma_grid`.

    By itself it ends its grid at the shifted 1/1000, which makes other steps.
    """

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Set evenly spaced levels from 1, which the scheduler then shifts."""
        levels = [1 - i / num_inference_steps for i in range(num_inference_steps)]
        super().set_timesteps(sigmas=levels, device=device)


class Peers:
    """Both pipelines around the same random parts.

    Args:
        side: pixels.
        num_frames: 4k + 1.
        steps: denoising steps.
    """

    def __init__(self, side: int, num_frames: int, steps: int) -> None:
        self._side, self._num_frames, self._steps = side, num_frames, steps
        transformer = new_transformer(null_condition="empty_prompt")
        torch.manual_seed(5)
        self._ours: UniViGUPipeline = moving_shapes_pipeline(transformer, new_autoencoder())
        serving = self._ours.config.serving | {"guidance_above": 0.0}  # as diffusers, throughout
        self._ours.register_to_config(serving=serving)
        self._theirs = WanPipeline(
            tokenizer=self._ours.tokenizer,
            text_encoder=self._ours.text_encoder,
            vae=self._ours.vae,
            scheduler=OurLevels.from_config(self._ours.scheduler.config),
            transformer=wan_twin(transformer),
        )
        self._theirs.set_progress_bar_config(disable=True)

    def ours(self) -> Frames:
        """Return uint8 frames (F, H, W, 3)."""
        made = self._ours.generate(PROMPT, seed=SEED, mode="video_only", **self._options())
        return made.frames

    def theirs(self) -> Any:
        """Return float frames (F, H, W, 3) in [0, 1]."""
        with torch.compiler.set_stance("force_eager"):  # it decodes with our autoencoder
            made = self._theirs(
                PROMPT,
                max_sequence_length=self._ours.max_prompt_tokens,
                generator=torch.Generator().manual_seed(SEED),
                **self._options(),
            )
        return made.frames[0]

    def optimize(self, compiler: str) -> None:
        """Make ours faster by all that `optimize` has; diffusers' stays as it comes."""
        optimize(self._ours, compiler=compiler, fuse_projections=True)

    def check(self) -> None:
        """Assert that the frames are equal but for rounding to uint8."""
        theirs = self.theirs()
        assert theirs.std() > 0.01, "a flat video proves nothing"
        difference = np.abs(self.ours() / 255 - theirs).max()
        assert difference < 1.01 / 255, f"a pixel differs by {255 * difference:.2f} levels"

    def _options(self) -> dict[str, Any]:
        return {
            "height": self._side,
            "width": self._side,
            "num_frames": self._num_frames,
            "num_inference_steps": self._steps,
            "guidance_scale": GUIDANCE,
        }


def run() -> list[Row]:
    """Measure whole videos, from the prompt to frames in memory, before and after `optimize`."""
    peers = Peers(SIDE, NUM_FRAMES, STEPS)
    plain = against_diffusers(peers, "ours", limit=0.97)
    peers.optimize("inductor")
    return [plain, against_diffusers(peers, "ours, optimized", limit=1.05)]


def against_diffusers(peers: Peers, label: str, limit: float) -> Row:
    """Return diffusers' time over ours for one video of each, named `label`."""
    peers.check()
    pairs = interleave(timed(peers.theirs), timed(peers.ours), PAIRS)
    return Row(
        f"text to video: diffusers / {label}",
        pairs.ratio,
        limit=limit,
        sense="min",
        detail=pairs.describe("diffusers", label),
    )
