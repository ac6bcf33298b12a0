"""Numbers on a checkpoint: what it understands and what it makes."""

from model.evaluation.scores import evaluate

__all__ = ["evaluate"]
