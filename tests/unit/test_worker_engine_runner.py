import pytest

from worker.engine.runner import ModelRunner
from worker.settings import WorkerSettings


def test_folder_without_a_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*model_index.json"):
        ModelRunner(WorkerSettings(checkpoint=tmp_path))


def test_capabilities_are_the_checkpoint_s_own(tiny_checkpoint):
    can = ModelRunner(WorkerSettings(checkpoint=tiny_checkpoint, device="cpu")).capabilities()
    name, _, fingerprint = can.checkpoint.partition("@")
    assert name == "tiny"
    assert len(fingerprint) == 12
    assert can.default_num_frames == can.max_num_frames
    assert (can.default_num_frames - 1) % can.temporal_compression == 0
