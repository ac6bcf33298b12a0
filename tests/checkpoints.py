"""Checkpoints for tests: a tiny one with random weights, of the true layout."""

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
