"""Numbers on a checkpoint: what it understands and what it makes."""

from model.evaluation.contact_sheet import save_contact_sheet
from model.evaluation.sampling import Knobs
from model.evaluation.scores import Evaluation, Wanted, evaluate

__all__ = ["Evaluation", "Knobs", "Wanted", "evaluate", "save_contact_sheet"]
