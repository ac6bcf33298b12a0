"""What a training stage is: data, not a fork of the loop.

Uni-ViGU trains in two stages (paper section 3.3): Knowledge Recall, where the caption to be
denoised is the prompt itself and the condition is mostly dropped, and Capability Refinement, where
it is a detailed caption. `base` is ours: it makes a small video generator to start from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: which stream is at noise in a sample; see `model.sampler.Mode`
SampleMode = Literal["joint", "understand", "text_to_video", "video_only"]
_RANGES = {
    "condition_dropout": (0.0, 1.0),
    "question_share": (0.0, 1.0),
    "open_share": (0.0, 1.0),
    "detailed_share": (0.0, 1.0),
    "text_weight": (0.0, 1e6),
    "pad_weight": (0.0, 1.0),
    "video_shift": (0.01, 100.0),
    "understand_shift": (0.01, 100.0),
    "exact_above": (0.0, 1.0),
    "rollout_every": (0, 10_000),
    "short_share": (0.0, 1.0),
    "short_frames": (1, 10_000),
    "short_factor": (1, 1000),
}


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Raises:
        ValueError: naming the field, if a value is outside its range.
    """

    name: str
    #: text that the caption stream learns to denoise
    target: Literal["prompt", "caption"]
    #: share of samples of each mode; `video_only` is drawn for whole batches
    mixture: dict[SampleMode, float]
    #: chance that a sample's condition is replaced by the null condition
    condition_dropout: float
    #: among understanding samples, the share that answers a question instead of captioning
    question_share: float = 0.0
    #: among the other samples, the share whose prompt names only some of what there is to see. In
    #: `text_to_video` their clean text is the target: there a video learns to follow its caption
    open_share: float = 0.1
    #: among the same, the share whose prompt is the caption itself, whatever `open_share` says: a
    #: finished draft takes the prompt's place where `guided` is told so, and people write such ones
    detailed_share: float = 0.0
    #: weight of the text loss; both losses are means over tokens, so 1 balances them as the
    #: paper's lambda_t = N_v / N_t does for sums
    text_weight: float = 0.5
    #: weight of padding positions in the text loss
    pad_weight: float = 0.1
    #: shift of the uniform video sigma
    video_shift: float = 3.0
    #: shift of the uniform text sigma where the video is given; above 1, fewer words of the
    #: caption are there to be copied and more have to be read from the video
    understand_shift: float = 1.0
    #: noise level of the video from which its target is not the clip's velocity but the mean over
    #: all that the noisy clip could be, which only a world that can be drawn has; 1 for never
    exact_above: float = 1.0
    #: one of how many rows is a clip that the network itself is making; 0 for none. What it should
    #: have made of it only a world that can be drawn can tell
    rollout_every: int = 0
    #: share of batches that see only the start of their clips. The autoencoder is causal, so that
    #: is a shorter clip, which shows what things look like at a fraction of the cost
    short_share: float = 0.0
    #: latent frames of those
    short_frames: int = 2
    #: clips of such a batch for each of a whole one, which keeps the cost of a step
    short_factor: int = 1

    def __post_init__(self) -> None:
        for mode, share in self.mixture.items():
            if share < 0:
                raise ValueError(f"mixture {mode} {share}: must be at least 0")
        if not sum(self.mixture.values()):
            raise ValueError(f"mixture {self.mixture}: needs a share above 0")
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                value = getattr(self, name)
                raise ValueError(f"{name} {value}: must be from {least:g} to {most:g}")
        # nobody has written down how likely a prompt's noisy words are
        if self.exact_above < 1 and self.target == "prompt" and self.mixture.get("joint"):
            raise ValueError(f"exact_above {self.exact_above}: must be 1 for joint prompts")
        if self.rollout_every and self.target == "prompt":
            raise ValueError(
                f"rollout_every {self.rollout_every}: must be 0 where target is prompt"
            )
        if self.rollout_every and not any(
            self.mixture[m] for m in self.mixture if m != "video_only"
        ):
            raise ValueError(f"rollout_every {self.rollout_every}: must be 0 without captions")

    @property
    def needs_world(self) -> bool:
        """Whether only a world that can be drawn has what this stage learns from."""
        return self.exact_above < 1 or self.rollout_every > 0


BASE = Stage("base", "prompt", {"video_only": 1.0}, condition_dropout=0.1)
KNOWLEDGE_RECALL = Stage(
    "recall",
    "prompt",
    {"joint": 0.45, "understand": 0.35, "text_to_video": 0.15, "video_only": 0.05},
    condition_dropout=0.8,
)
CAPABILITY_REFINEMENT = Stage(
    "refine",
    "caption",
    {"joint": 0.4, "understand": 0.35, "text_to_video": 0.2, "video_only": 0.05},
    condition_dropout=0.2,
    question_share=0.25,
    text_weight=3.0,
    understand_shift=4.0,
)
STAGES = {stage.name: stage for stage in (BASE, KNOWLEDGE_RECALL, CAPABILITY_REFINEMENT)}
