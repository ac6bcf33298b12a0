"""Checkpoints for tests: a tiny one with random weights, of the true layout."""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loadable checkpoint folder, small enough for a step to take milliseconds."""
    import torch

    from model.presets import PRESETS
    from model.training.assemble import moving_shapes_pipeline, save_checkpoint
    from model.training.autoencoder import new_autoencoder
    from model.transformer import UniViGUTransformer

    torch.manual_seed(0)
    config = PRESETS["demo"] | {"num_layers": 2, "num_attention_heads": 2, "ffn_dim": 64}
    transformer = UniViGUTransformer(**config)
    torch.nn.init.normal_(transformer.text_proj_out.weight, std=0.05)
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(moving_shapes_pipeline(transformer, new_autoencoder()), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clips_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, with clips of 5 frames of 32 x 32 pixels as its own size."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-clips"
    shutil.copytree(tiny_checkpoint, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["serving"] |= {"sizes": [[32, 32]], "num_frames": 5}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
