"""A checkpoint's parts - text encoder, transformer, autoencoder - and what each is asked for.

Requests are served by `model.pipeline`; here are the ways into and out of its three spaces: texts,
latents and noise levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, SchedulerMixin
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from model import latents, text
from model.cached_video import VideoCache
from model.caches import ByteLimited
from model.presets import WAN_480P
from model.schedule import draft_sigmas, sigma_grid
from model.text_flow import text_flow_of
from model.transformer import UniViGUTransformer

Frames = np.ndarray[Any, np.dtype[np.uint8]]


class CheckpointParts(DiffusionPipeline):
    """The parts of a loaded checkpoint.

    Args:
        transformer: the joint denoiser.
        vae: the video autoencoder.
        text_encoder: encoder of prompts and instructions.
        tokenizer: of the text encoder.
        scheduler: read for its shift only; the loop is `model.sampler`.
        caption_tokenizer: of the caption stream, where it differs from `tokenizer`.
        serving: what requests may ask for and what they get by default: `sizes` [[height, width]],
            `num_frames`, `max_num_frames`, `fps`, `num_inference_steps`,
            `max_num_inference_steps`, `understand_steps`, `guidance_scale`, `guidance_above`
            (see `denoisers.guided`), `text_shift`, `draft_above`, the noise level of the video
            down to which a joint caption is drawn, finished if above 0 (see `encode_draft`),
            `rereads_caption` (see `Sampling`).

    Raises:
        ValueError: for a `draft_above` that cannot be.
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
        _check_draft(serving or {}, transformer)
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
    def looks_in_every_step(self) -> bool:
        """Whether every step of a caption runs the video through the network again."""
        return bool(self.transformer.config.understanding_attention != "isolated")

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

    def encode_draft(self, draft: Tensor) -> Tensor:
        """Return the condition states (B, c, text_dim) of finished drafts of a `TextFlow`.

        Raises:
            PromptTooLong: if a caption has more than `max_prompt_tokens` tokens.
        """
        texts = [self.decode_caption(row) for row in text_flow_of(self.transformer).read(draft)]
        return torch.cat([self.encode_condition(caption, "caption") for caption in texts])

    @property
    def caption_coder(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the caption stream."""
        return self.caption_tokenizer or self.tokenizer

    def video_sigmas(self, num_inference_steps: int) -> list[float]:
        """Return the noise levels of a video that takes so many steps."""
        config = self.scheduler.config
        shift = float(config.get("flow_shift", config.get("shift", 1.0)))
        return sigma_grid(num_inference_steps, shift)

    def text_sigmas(self, num_inference_steps: int) -> list[float]:
        """Return the noise levels of a caption that takes so many steps."""
        return sigma_grid(num_inference_steps, self.config.serving["text_shift"])

    def draft_sigmas(self, num_inference_steps: int) -> list[float]:
        """Return the noise levels of the caption of a video that takes so many steps."""
        serving = self.config.serving
        video_sigmas = self.video_sigmas(num_inference_steps)
        return draft_sigmas(video_sigmas, serving["draft_above"], serving["text_shift"])

    def latent_shape(self, height: int, width: int, num_frames: int) -> tuple[int, ...]:
        """Return the shape (1, C, F, h, w) of the latents of a clip.

        Raises:
            ValueError: for a clip that the model does not take.
        """
        config = self.transformer.config
        shape = latents.latent_shape(self.vae, config.patch_size, height, width, num_frames)
        return (1, config.in_channels, *shape)

    def prompt_ids(self, prompt: str) -> Tensor:
        """Return a prompt as a caption's ids (1, L), without padding.

        Raises:
            PromptTooLong: if it has more than the caption stream takes.
        """
        ids: list[int] = self.caption_coder(prompt).input_ids
        limit = self.transformer.config.caption_length
        if len(ids) > limit:
            raise text.PromptTooLong("prompt", len(ids), limit)
        return torch.tensor([ids], device=self.device)

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
        return text.decode_caption(self.caption_coder, token_ids.reshape(-1))

    def _encode(self, prompt: str, field: str) -> Tensor:
        length = self.max_prompt_tokens
        states = text.encode_condition(self.text_encoder, self.tokenizer, [prompt], length, field)
        return states.to(self.transformer.proj_out.weight.dtype)


def _check_draft(serving: dict[str, Any], transformer: UniViGUTransformer) -> None:
    above, config = serving.get("draft_above", 0.0), transformer.config
    if not 0 <= above < 1:
        raise ValueError(f"draft_above {above}: must be at least 0 and less than 1")
    if above and config.caption_length > config.condition_length:
        raise ValueError(
            f"draft_above {above}: must be 0 where a caption may have {config.caption_length} "
            f"tokens and a prompt {config.condition_length}"
        )
