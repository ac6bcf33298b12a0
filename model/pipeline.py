"""The checkpoint as a whole: text encoder, transformer, autoencoder, and the requests they serve.

`generate_steps` and `understand_steps` are what a scheduler drives, one denoising step at a time;
`generate` and `understand` are thin loops over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, SchedulerMixin
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from model import denoisers, latents, text, understanding
from model.caches import ByteLimited
from model.presets import WAN_480P
from model.sampler import JointState, Mode, Sampling, Step, sample_steps
from model.schedule import sigma_grid
from model.text_flow import text_flow_of
from model.transformer import UniViGUTransformer, VideoCache
from model.understanding import Understanding, network_of

Frames = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Generated:
    """A finished clip and, in joint mode, its caption."""

    frames: Frames  # [F, H, W, 3]
    caption: str | None


class UniViGUPipeline(DiffusionPipeline):
    """A loaded Uni-ViGU checkpoint.

    Args:
        transformer: the joint denoiser.
        vae: the video autoencoder.
        text_encoder: encoder of prompts and instructions.
        tokenizer: of the text encoder.
        scheduler: read for its shift only; the loop is `model.sampler`.
        caption_tokenizer: of the caption stream, where it differs from `tokenizer`.
        serving: what requests may ask for and what they get by default: `sizes` [[height, width]],
            `num_frames`, `max_num_frames`, `fps`, `num_inference_steps`,
            `max_num_inference_steps`, `understand_steps`, `guidance_scale`, `text_shift`.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _optional_components: ClassVar[list[str]] = ["caption_tokenizer"]

    def __init__(
        self,
        transformer: UniViGUTransformer,
        vae: AutoencoderKLWan,
        text_encoder: UMT5EncoderModel,
        tokenizer: PreTrainedTokenizerBase,
        scheduler: SchedulerMixin,
        caption_tokenizer: PreTrainedTokenizerBase | None = None,
        serving: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            caption_tokenizer=caption_tokenizer,
        )
        self.register_to_config(serving=WAN_480P | (serving or {}))
        #: what captions need of a clip, by its content; keeps nothing until it is given a limit
        self.clips: ByteLimited[VideoCache] = ByteLimited(
            lambda clip: sum(keys.nbytes for keys in clip)
        )
        #: condition states by their text, likewise
        self.prompts: ByteLimited[Tensor] = ByteLimited(lambda states: states.nbytes)
        if transformer.config.null_condition == "empty_prompt":
            with torch.no_grad():
                transformer.empty_prompt_embeds = self.encode_condition("")

    @property
    def temporal_compression(self) -> int:
        """Pixel frames per latent frame."""
        return int(self.vae.config.scale_factor_temporal)

    @property
    def max_prompt_tokens(self) -> int:
        """Tokens of the longest prompt or instruction, its end token included."""
        return int(self.transformer.config.condition_length)

    def encode_condition(self, prompt: str, field: str = "prompt") -> Tensor:
        """Return the condition states (1, c, text_dim) of a text, in the transformer's dtype.

        Raises:
            PromptTooLong: naming `field`, if it has more than `max_prompt_tokens` tokens.
        """
        return self.prompts.get(prompt, lambda: self._encode(prompt, field))

    @torch.inference_mode()
    def generate_steps(
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

        Yields:
            Steps; the last holds the finished latents and caption ids.

        Raises:
            PromptTooLong: see `encode_condition`.
            ValueError: for a shape that the model does not take, or a mode that is no generation.
        """
        if mode not in (Mode.JOINT, Mode.TEXT_TO_VIDEO, Mode.VIDEO_ONLY):
            raise ValueError(f"mode {mode!r}: must be joint, text_to_video or video_only")
        shape = self._latent_shape(height, width, num_frames)
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
            caption = flow.clean(self._prompt_ids(prompt))
        denoise = denoisers.guided(
            self.transformer,
            condition,
            guidance_scale=guidance_scale,
            noise_caption=noise_caption,
        )
        yield from sample_steps(
            JointState(noise, caption),
            denoise,
            video_sigmas=sigma_grid(num_inference_steps, self._video_shift),
            text_sigmas=self._text_sigmas(num_inference_steps) if is_joint else None,
            generator=generator,
            text_flow=flow,
        )

    @torch.inference_mode()
    def understand_steps(
        self,
        video: Frames | Tensor,
        *,
        instruction: str | None = None,
        num_inference_steps: int,
        seed: int,
    ) -> Iterator[Step]:
        """Caption a video, or answer an instruction about it, one step at a time.

        Args:
            video: uint8 (F, H, W, 3), F = 4k + 1.
            instruction: a question; None asks for the caption.
            num_inference_steps: steps of the caption.
            seed: decides the caption's noise.

        Yields:
            Steps; the last holds the finished caption ids.

        Raises:
            PromptTooLong: see `encode_condition`.
            ValueError: for a shape that the model does not take.
        """
        caption = self.begin_understanding(
            video,
            instruction=instruction,
            num_inference_steps=num_inference_steps,
            seed=seed,
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
    ) -> Understanding:
        """Look at a video and return its caption at full noise; see `understand_steps`."""
        frames = torch.as_tensor(video)[None]
        _, num_frames, height, width, _ = frames.shape
        self._latent_shape(height, width, num_frames)
        generator = Generator().manual_seed(seed)
        flow = text_flow_of(self.transformer)
        sampling = Sampling(
            JointState(None, flow.noise(1, generator).to(self.device)),
            video_sigmas=None,
            text_sigmas=self._text_sigmas(num_inference_steps),
            generator=generator,
            text_flow=flow,
        )
        states = None
        if instruction is not None:
            states = self.encode_condition(instruction, "instruction")
        network = network_of(self.transformer, self.vae, self.clips, frames, states)
        return Understanding(sampling, network)

    @torch.inference_mode()
    def advance(self, captions: Sequence[Understanding]) -> list[Step]:
        """Move captions of one `group` one step in one pass.

        Several agree with each alone to rounding; one alone is exactly repeatable.
        """
        return understanding.advance(self.transformer, captions)

    @torch.inference_mode()
    def decode_latents(self, video: Tensor) -> Iterator[Frames]:
        """Yield uint8 frames (n, H, W, 3) of latents (1, C, F, h, w), chunk by chunk."""
        for chunk in latents.decode_chunks(self.vae, video):
            yield latents.to_uint8(chunk)[0].cpu().numpy()

    @torch.inference_mode()
    def decode_first_frame(self, video: Tensor) -> Frames:
        """Return the first frame of latents (1, C, F, h, w), uint8 (H, W, 3).

        The decoder is causal: this is the frame that `decode_latents` yields first, at the price
        of one.
        """
        frame: Frames = next(iter(self.decode_latents(video[:, :, :1])))[0]
        return frame

    def decode_caption(self, token_ids: Tensor) -> str:
        """Return the text of caption ids (1, L) or (L,)."""
        return text.decode_caption(self._caption_tokenizer, token_ids.reshape(-1))

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

    @property
    def _caption_tokenizer(self) -> PreTrainedTokenizerBase:
        return self.caption_tokenizer or self.tokenizer

    @property
    def _video_shift(self) -> float:
        config = self.scheduler.config
        return float(config.get("flow_shift", config.get("shift", 1.0)))

    def _text_sigmas(self, num_inference_steps: int) -> list[float]:
        return sigma_grid(num_inference_steps, self.config.serving["text_shift"])

    def _encode(self, prompt: str, field: str) -> Tensor:
        length = self.max_prompt_tokens
        states = text.encode_condition(self.text_encoder, self.tokenizer, [prompt], length, field)
        return states.to(self.transformer.proj_out.weight.dtype)

    def _latent_shape(self, height: int, width: int, num_frames: int) -> tuple[int, ...]:
        config = self.transformer.config
        shape = latents.latent_shape(self.vae, config.patch_size, height, width, num_frames)
        return (1, config.in_channels, *shape)

    def _prompt_ids(self, prompt: str) -> Tensor:
        ids: list[int] = self._caption_tokenizer(prompt).input_ids
        limit = self.transformer.config.caption_length
        if len(ids) > limit:
            raise text.PromptTooLong("prompt", len(ids), limit)
        return torch.tensor([ids], device=self.device)
