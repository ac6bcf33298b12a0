"""A caption from cached keys and values against a forward per step, and a clip's from its frames.

The forward per step is that of the released model, video and caption in one unmasked attention:
hiding the caption from the video, which makes the two equal, would cost it the fast kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median

import torch

from benchmarks.gpu.house import House
from benchmarks.paired import Row
from model.denoisers import full_understanding, isolated_understanding
from model.optimize import optimize
from model.pipeline import UniViGUPipeline
from model.sampler import Denoise, JointState, sample_steps
from model.schedule import sigma_grid
from model.text_flow import text_flow_of

NAMES = (
    "1.3b caption: forward per step / cached video",
    "1.3b caption of a clip, frames to text: seconds",
    "1.3b cached caption: compiled / as CUDA graphs",
)
_REPEATS = 3


class Captions:
    """One clip and no question.

    Args:
        house: gives shapes and the device.
        pipeline: the model.
    """

    def __init__(self, house: House, pipeline: UniViGUPipeline) -> None:
        self._house, self.pipeline = house, pipeline
        self._clip = house.noise(pipeline)
        self._null = torch.zeros_like(house.condition(pipeline))
        shape = house.shapes.num_frames, house.shapes.height, house.shapes.width, 3
        self._frames = torch.randint(256, shape, dtype=torch.uint8, device="cpu")

    def cached(self) -> None:
        """Denoise a caption, the video seen once."""
        denoise = isolated_understanding(self.pipeline.transformer, self._clip, self._null)
        self._sample(denoise, self._house.shapes.caption_steps)

    def full(self, steps: int) -> None:
        """Denoise a caption, the video run through the network in each step."""
        transformer = self.pipeline.transformer
        denoise = full_understanding(transformer, self._clip, self._null, isolate=False)
        self._sample(denoise, steps)

    def whole(self) -> None:
        """Caption the frames; nothing is known of them from before."""
        steps = self._house.shapes.caption_steps
        self.pipeline.understand(self._frames, seed=0, num_inference_steps=steps)

    def _sample(self, denoise: Denoise, steps: int) -> None:
        flow, generator = text_flow_of(self.pipeline.transformer), torch.Generator()
        draft = flow.noise(1, generator).to(self._house.device)
        for _ in sample_steps(
            JointState(None, draft),
            denoise,
            video_sigmas=None,
            text_sigmas=sigma_grid(steps, 1.0),
            generator=generator,
            text_flow=flow,
        ):
            pass


@torch.inference_mode()
def run(house: House) -> Iterator[Row]:
    """Measure whole captions, the pass that fills the cache included."""
    captions = Captions(house, house.pipeline("1.3b"))
    steps = house.shapes.caption_steps
    captions.cached()
    cached = median(house.seconds(captions.cached) for _ in range(_REPEATS))
    captions.whole()
    whole = median(house.seconds(captions.whole) for _ in range(_REPEATS))
    yield Row(NAMES[1], whole, 1.4, "max", f"{steps} steps, median of {_REPEATS}")
    captions.full(1)  # compiles
    full = house.seconds(partial(captions.full, steps))
    yield Row(
        NAMES[0],
        full / cached,
        25,
        "min",
        f"{full:.4g} s, {cached:.4g} s, {steps} steps each",
    )
    if house.device.type == "cuda":  # last, since nobody has seen it there yet
        optimize(captions.pipeline, cuda_graphs=True)
    for _ in range(3):  # compiles, warms up, records
        captions.cached()
    graphs = median(house.seconds(captions.cached) for _ in range(_REPEATS))
    yield Row(NAMES[2], cached / graphs, 1.0, "min", f"{cached:.4g} s, {graphs:.4g} s")
