"""Numbers on a checkpoint: what it understands and what it makes."""

from model.evaluation.checker import Frames
from model.evaluation.contact_sheet import save_contact_sheet
from model.evaluation.manifests import ManifestClips, evaluate_manifests
from model.evaluation.sampling import Knobs
from model.evaluation.scores import Evaluation, Wanted, evaluate

__all__ = [
    "Evaluation",
    "Frames",
    "Knobs",
    "ManifestClips",
    "Wanted",
    "evaluate",
    "evaluate_manifests",
    "save_contact_sheet",
]
