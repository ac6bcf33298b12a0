"""What a config file says of a stage: TOML with one folder for everything, what to train on, and a
table per stage.

The keys of a stage's table are the fields of `TrainingRun`, besides `start_from`, the stage whose
result it starts from, and two tables: `stage` changes fields of the `Stage`, `data` those of
`[data]`, for this stage alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from model.training.autoencoder import AutoencoderRun
from model.training.rollouts import NUM_STEPS
from model.training.stage import STAGES, Stage
from model.training.trainable import stage_for
from model.training.training_run import TrainingRun


@dataclass(frozen=True)
class ClipData:
    """The `[data]` table of a config, and the `checkpoint` beside it."""

    #: whose parts code the clips, and whose transformer a stage without `start_from` starts from
    checkpoint: Path
    #: manifests (.jsonl) and shards (.tar)
    sources: list[str]
    num_frames: int
    height: int
    width: int
    split: str = "train"
    cache: Path = Path("cache")


@dataclass(frozen=True)
class StageConfig:
    """One stage as a config file describes it."""

    stage: Stage
    run: TrainingRun
    #: folder of all stages
    folder: Path
    #: result of the stage that this one starts from
    start: Path | None
    #: real clips; None for `scenes` of the demo world
    data: ClipData | None
    scenes: int


def read_stage(name: str, config: Path) -> StageConfig:
    """Return a stage of a config file, with the samples that its trainable set can learn from.

    Raises:
        ValueError: for an unknown stage, or a key or value that is not allowed, naming what is.
    """
    settings = tomllib.loads(config.read_text())
    if name not in STAGES:
        raise ValueError(f"stage {name!r}: must be one of vae, {', '.join(STAGES)}")
    options = dict(settings.get(name, {}))
    folder = _folder(settings)
    start = options.pop("start_from", None)
    changes = _known(options.pop("stage", {}), Stage, f"{name}.stage")
    clips = options.pop("data", {})
    run = TrainingRun(out_dir=folder / name, **_complete(options, TrainingRun, name))
    stage = stage_for(replace(STAGES[name], **changes), run.trainable)
    if "data" in settings and stage.needs_world:
        raise ValueError(
            f"[{name}.stage] exact_above {stage.exact_above}, rollout_every {stage.rollout_every}: "
            "must be 1 and 0 with [data]"
        )
    if stage.rollout_every:
        _check_rollouts(stage, run)
    return StageConfig(
        stage,
        run,
        folder,
        None if start is None else folder / start,
        _clip_data(settings, clips) if "data" in settings else None,
        int(settings.get("scenes", 20_000)),
    )


def _check_rollouts(stage: Stage, run: TrainingRun) -> None:
    longest = NUM_STEPS[1]
    if run.parallel == "fsdp2":
        raise ValueError(f"rollout_every {stage.rollout_every}: must be 0 with parallel 'fsdp2'")
    if stage.rollout_every > run.batch_size:
        raise ValueError(
            f"rollout_every {stage.rollout_every}: must be at most batch_size {run.batch_size}"
        )
    if run.save_every < longest:  # where clips in the making begin anew
        raise ValueError(
            f"save_every {run.save_every}: must be at least {longest} with rollout_every"
        )


def read_autoencoder(config: Path) -> AutoencoderRun:
    """Return the `[vae]` table of a config file.

    Raises:
        ValueError: for a key that is not allowed.
    """
    settings = tomllib.loads(config.read_text())
    options = _complete(settings.get("vae", {}), AutoencoderRun, "vae")
    return AutoencoderRun(out_dir=_folder(settings) / "vae", **options)


def _folder(settings: Mapping[str, Any]) -> Path:
    return Path(settings.get("folder", "runs"))


def _clip_data(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> ClipData:
    table = {"checkpoint": settings.get("checkpoint")} | settings["data"] | changes
    given = {name: value for name, value in table.items() if value is not None}
    return ClipData(**_complete(given, ClipData, "data"))


def _complete(options: dict[str, Any], kind: type, table: str) -> dict[str, Any]:
    known = _known(options, kind, table)
    for field in fields(kind):
        if field.default is MISSING and field.name not in {"out_dir", *known}:
            raise ValueError(f"[{table}] {field.name}: is missing")
    return known


def _known(options: dict[str, Any], kind: type, table: str) -> dict[str, Any]:
    allowed = {field.name for field in fields(kind)} - {"out_dir", "name"}
    types = get_type_hints(kind)
    checked = {}
    for name, value in options.items():
        if name not in allowed:
            raise ValueError(f"[{table}] {name}: must be one of {', '.join(sorted(allowed))}")
        is_path = Path in (types[name], *get_args(types[name]))  # which TOML writes as a string
        try:
            checked[name] = TypeAdapter(types[name]).validate_python(value, strict=not is_path)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ValueError(f"[{table}] {name} {value!r}: {reason}") from error
    return checked
