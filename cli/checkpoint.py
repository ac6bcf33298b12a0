"""What comes before loading a checkpoint: a first look at its folder, and no bars of libraries."""

from __future__ import annotations

from pathlib import Path

from cli.items import BadOption


def require_checkpoint(path: Path) -> None:
    """Refuse a folder that is no checkpoint, before seconds are spent on imports.

    Raises:
        BadOption: naming the folder and what it lacks.
    """
    if not (path / "model_index.json").is_file():
        raise BadOption(f"checkpoint {path}: there is no model_index.json in this folder")


def silence_loading() -> None:
    """Keep the libraries from drawing bars of their own; imports torch."""
    from diffusers.utils.logging import disable_progress_bar as silence_diffusers
    from transformers.utils.logging import disable_progress_bar as silence_transformers

    silence_diffusers()
    silence_transformers()
