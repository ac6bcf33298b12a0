"""The checkpoint as a whole, and the requests it serves.

`generate_steps` and `understand_steps` are what a scheduler drives, one denoising step at a time;
`generate` and `understand` are thin loops over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from model import denoisers, understanding
from model.feature_cache import FeatureCache
from model.parts import CheckpointParts, Frames
from model.sampler import JointState, Mode, Sampling, Step, sample_steps
from model.text_flow import text_flow_of
from model.understanding import Understanding, network_of


@dataclass(frozen=True)
class Generated:
    """A finished clip and, in joint mode, its caption."""

    frames: Frames  # [F, H, W, 3]
    caption: str | None


class UniViGUPipeline(CheckpointParts):
    """A loaded Uni-ViGU checkpoint at work."""

    @torch.inference_mode()
    def generate_steps(  # noqa: PLR0913 - one argument per field of a request
        self,
        prompt: str,
        *,
        mode: str = "joint",
        height: int,
        width: int,
        num_frames: int,
        num_inference_steps: int,
        guidance_scale: float,
        seed: int,
        features: FeatureCache | None = None,
    ) -> Iterator[Step]:
        """Make a video, and in `joint` mode its caption, one denoising step at a time.

        Args:
            prompt: what to show.
            mode: `joint`, `text_to_video` or `video_only`.
            height: pixels.
            width: pixels.
            num_frames: 4k + 1 frames.
            num_inference_steps: steps of both streams.
            guidance_scale: classifier-free guidance of the video; 1 for none.
            seed: decides everything random in this request.
            features: a new one leaves out passes of the network, and counts them; None runs all.

        Yields:
            Steps; the last holds the finished latents and caption ids.

        Raises:
            PromptTooLong: see `encode_condition`.
            ValueError: for a shape that the model does not take, or a mode that is no generation.
        """
        if mode not in (Mode.JOINT, Mode.TEXT_TO_VIDEO, Mode.VIDEO_ONLY):
            raise ValueError(f"mode {mode!r}: must be joint, text_to_video or video_only")
        shape = self.latent_shape(height, width, num_frames)
        condition = self.encode_condition(prompt)
        generator = Generator().manual_seed(seed)
        noise = torch.randn(shape, generator=generator).to(condition.device)
        flow = text_flow_of(self.transformer)
        noise_caption = None
        if mode != Mode.VIDEO_ONLY:
            noise_caption = flow.noise(1, generator).to(condition.device)
        is_joint = mode == Mode.JOINT
        caption = noise_caption if is_joint else None
        if mode == Mode.TEXT_TO_VIDEO:
            # without its padding: dropping the keys that a mask would hide is exact
            caption = flow.clean(self.prompt_ids(prompt))
        denoise = denoisers.guided(
            self.transformer,
            condition,
            guidance_scale=guidance_scale,
            guidance_above=self.config.serving["guidance_above"],
            noise_caption=noise_caption,
            encode_draft=self.encode_draft if is_joint else None,
            features=features,
        )
        yield from sample_steps(
            JointState(noise, caption),
            denoise,
            video_sigmas=self.video_sigmas(num_inference_steps),
            text_sigmas=self.draft_sigmas(num_inference_steps) if is_joint else None,
            generator=generator,
            text_flow=flow,
            rereads=self.config.serving["rereads_caption"],
        )

    @torch.inference_mode()
    def understand_steps(
        self,
        video: Frames | Tensor,
        *,
        instruction: str | None = None,
        num_inference_steps: int,
        seed: int,
        video_refresh_interval: int | None = None,
    ) -> Iterator[Step]:
        """Caption a video, or answer an instruction about it, one step at a time.

        Args:
            video: uint8 (F, H, W, 3), F = 4k + 1.
            instruction: a question; None asks for the caption.
            num_inference_steps: steps of the caption.
            seed: decides the caption's noise.
            video_refresh_interval: steps from one look at the video to the next, where the
                checkpoint would look in every step; None does.

        Yields:
            Steps; the last holds the finished caption ids.

        Raises:
            PromptTooLong: see `encode_condition`.
            ValueError: for a shape that the model does not take, or an interval where one look
                is enough.
        """
        caption = self.begin_understanding(
            video,
            instruction=instruction,
            num_inference_steps=num_inference_steps,
            seed=seed,
            video_refresh_interval=video_refresh_interval,
        )
        while not caption.is_done:
            yield from self.advance([caption])

    @torch.inference_mode()
    def begin_understanding(
        self,
        video: Frames | Tensor,
        *,
        instruction: str | None = None,
        num_inference_steps: int,
        seed: int,
        video_refresh_interval: int | None = None,
    ) -> Understanding:
        """Look at a video and return its caption at full noise; see `understand_steps`."""
        frames = torch.as_tensor(video)[None]
        _, num_frames, height, width, _ = frames.shape
        self.latent_shape(height, width, num_frames)
        generator = Generator().manual_seed(seed)
        flow = text_flow_of(self.transformer)
        sampling = Sampling(
            JointState(None, flow.noise(1, generator).to(self.device)),
            video_sigmas=None,
            text_sigmas=self.text_sigmas(num_inference_steps),
            generator=generator,
            text_flow=flow,
        )
        states = None
        if instruction is not None:
            states = self.encode_condition(instruction, "instruction")
        network = network_of(
            self.transformer, self.vae, self.clips, frames, states, video_refresh_interval
        )
        return Understanding(sampling, network)

    @torch.inference_mode()
    def advance(self, captions: Sequence[Understanding]) -> list[Step]:
        """Move captions of one `group` one step in one pass.

        Several agree with each alone to rounding; one alone is exactly repeatable.
        """
        return understanding.advance(self.transformer, captions)

    def generate(self, prompt: str, *, seed: int, **options: Any) -> Generated:
        """Make a clip with the checkpoint's defaults for whatever `options` leaves out.

        See `generate_steps` for the options and errors.
        """
        names = ("num_frames", "num_inference_steps", "guidance_scale")
        height, width = self.config.serving["sizes"][0]
        defaults = {"height": height, "width": width}
        defaults |= {name: self.config.serving[name] for name in names}
        mode = options.get("mode", "joint")
        *_, last = self.generate_steps(prompt, seed=seed, **(defaults | options))
        assert last.latents is not None
        frames = np.concatenate(list(self.decode_latents(last.latents)))
        caption = None
        if mode == Mode.JOINT:
            assert last.token_ids is not None
            caption = self.decode_caption(last.token_ids)
        return Generated(frames, caption)

    def understand(self, video: Frames | Tensor, *, seed: int, **options: Any) -> str:
        """Return the caption or answer; see `understand_steps` for options and errors."""
        defaults = {"num_inference_steps": self.config.serving["understand_steps"]}
        *_, last = self.understand_steps(video, seed=seed, **(defaults | options))
        assert last.token_ids is not None
        return self.decode_caption(last.token_ids)
