"""Captions on their way, each with noise of its own; those that can be share their steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from model.denoisers import Question, answer
from model.sampler import Denoise, Sampling, Step
from model.transformer import UniViGUTransformer


class Understanding:
    """A caption, or an answer, that is being denoised.

    Args:
        sampling: the caption stream.
        network: the question, or, where every step needs a whole forward, the network to ask.
    """

    def __init__(self, sampling: Sampling, network: Question | Denoise) -> None:
        self.sampling, self.network = sampling, network

    @property
    def is_done(self) -> bool:
        """Whether the caption is finished."""
        return self.sampling.is_done

    @property
    def group(self) -> Hashable | None:
        """What must be equal for captions to share their steps; None for one that never does."""
        if not isinstance(self.network, Question):
            return None
        return self.network.condition.is_constant


def advance(transformer: UniViGUTransformer, captions: Sequence[Understanding]) -> list[Step]:
    """Move captions of one group a step; without a group, one alone."""
    first = captions[0]
    if not isinstance(first.network, Question):
        assert len(captions) == 1
        return [first.sampling.advance(*first.network(first.sampling.state))]
    questions = [one.network for one in captions if isinstance(one.network, Question)]
    logits = answer(transformer, questions, [one.sampling.state for one in captions])
    return [one.sampling.advance(None, own) for one, own in zip(captions, logits, strict=True)]
