"""The small training runs that are compared: each differs from `RECIPE` in one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from model.presets import PRESETS
from model.training.stage import BASE, CAPABILITY_REFINEMENT, KNOWLEDGE_RECALL, STAGES, Stage

#: 48 video and 20 caption tokens, 0.4 M parameters
SMALL: dict[str, Any] = PRESETS["demo"] | {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "ffn_dim": 256,
    "num_layers": 3,
    "freq_dim": 64,
    "rope_angles": None,
}
RECALL_STEPS, REFINE_STEPS = 140, 280


@dataclass(frozen=True)
class Leg:
    """One stage of a run, with some fields of the stage changed."""

    stage: str
    num_steps: int
    changes: Mapping[str, Any] = field(default_factory=dict)

    def as_stage(self) -> Stage:
        """Return the stage that is trained."""
        return replace(STAGES[self.stage], **self.changes)

    def definition(self) -> dict[str, Any]:
        """Return all that decides what it does, as JSON can say it."""
        return {"stage": asdict(self.as_stage()), "num_steps": self.num_steps}


#: every arm starts from this, one per seed
VIDEO = Leg(BASE.name, 150)


@dataclass(frozen=True)
class Arm:
    """What happens to a small video model until it makes and understands videos."""

    legs: tuple[Leg, ...]
    #: fields of the transformer's config that differ from `SMALL`
    config: Mapping[str, Any] = field(default_factory=dict)
    #: whether the caption side starts as a copy of the video's, as released, or at random
    copies_experts: bool = True


def _recipe(
    recall: int = RECALL_STEPS,
    refine: int = REFINE_STEPS,
    recall_changes: Mapping[str, Any] | None = None,
    refine_changes: Mapping[str, Any] | None = None,
) -> tuple[Leg, ...]:
    # nobody asks these networks questions; and lambda_t is 1, as in the paper
    plain = {"text_weight": 1.0}
    first = Leg(KNOWLEDGE_RECALL.name, recall, plain | dict(recall_changes or {}))
    captions = plain | {"question_share": 0.0}
    second = Leg(CAPABILITY_REFINEMENT.name, refine, captions | dict(refine_changes or {}))
    return tuple(leg for leg in (first, second) if leg.num_steps)


_ALL_STEPS = RECALL_STEPS + REFINE_STEPS


def _weighted(text_weight: float) -> Arm:
    changes = {"text_weight": text_weight}
    return Arm(_recipe(recall_changes=changes, refine_changes=changes))


RECIPE = "recipe"
ARMS: dict[str, Arm] = {
    RECIPE: Arm(_recipe()),
    "refine_only": Arm(_recipe(recall=0, refine=_ALL_STEPS)),
    "long_recall": Arm(_recipe(recall=REFINE_STEPS, refine=RECALL_STEPS)),
    "embedding": Arm(_recipe(), config={"text_flow": "embedding"}),
    "bidirectional": Arm(_recipe(), config={"understanding_attention": "bidirectional"}),
    "random_experts": Arm(_recipe(), copies_experts=False),
    "recall_dropout_0.2": Arm(_recipe(recall_changes={"condition_dropout": 0.2})),
    "refine_dropout_0.8": Arm(_recipe(refine_changes={"condition_dropout": 0.8})),
    "text_weight_0.25": _weighted(0.25),
    "text_weight_4": _weighted(4.0),
}
