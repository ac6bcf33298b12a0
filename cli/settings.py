"""What the commands take from the environment, and how a bad value is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cli.terminal import refuse

Settings = TypeVar("Settings", bound=BaseSettings)


class ClientSettings(BaseSettings):
    """Which server `generate` and `caption` talk to."""

    model_config = SettingsConfigDict(env_prefix="UNIVIGU_", extra="ignore", frozen=True)

    url: str | None = Field(
        default=None,
        description="Server that `univigu generate` and `caption` use, e.g. "
        "`http://127.0.0.1:8000`. Unset: they load the model themselves.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key that `univigu generate` and `caption` send to that server."
    )
    index: Path = Field(
        default_factory=lambda: Path(typer.get_app_dir("univigu")) / "captions.db",
        description="File in which `univigu caption` keeps what it has told, for `--resume` and "
        "`univigu search`. Unset: `captions.db` in the user's folder for applications.",
    )


def read_settings(kind: type[Settings], **options: Any) -> Settings:
    """Read settings from the environment, with command-line options above it.

    Args:
        kind: the settings class.
        options: values given on the command line; None stands for "not given".

    Raises:
        typer.Exit: with code 2, after naming the setting, its value and what is allowed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        refuse("; ".join(_finding(found, given) for found in error.errors()))


def _finding(found: Any, given: dict[str, Any]) -> str:
    allowed = found["msg"].removeprefix("Value error, ")
    if not found["loc"]:
        return str(allowed)
    name = str(found["loc"][0])
    shown = f"--{name.replace('_', '-')}" if name in given else f"UNIVIGU_{name.upper()}"
    return f"{shown}: {allowed}, got {found['input']!r}"
