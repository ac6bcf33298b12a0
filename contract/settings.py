"""Settings that every process shares; each process has one class on top of this one."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.policy import read_policy


class SharedSettings(BaseSettings):
    """Where the queue, the artifacts and the local state live.

    Read from the environment with the prefix `UNIVIGU_`, once, at process start.
    """

    model_config = SettingsConfigDict(env_prefix="UNIVIGU_", extra="ignore", frozen=True)

    redis_url: str | None = Field(
        default=None,
        description="Redis or Valkey, e.g. `redis://host:6379/0`. Unset: an embedded server whose "
        "data is in `DATA_DIR` (only under `univigu serve`).",
    )
    storage_url: str | None = Field(
        default=None,
        description="Artifact store: `file:///folder` or `s3://bucket/prefix` (credentials from "
        "the usual `AWS_*` variables). Unset: the folder `artifacts` in `DATA_DIR`.",
    )
    data_dir: Path = Field(
        default=Path("data"),
        description="Folder for the embedded queue, local artifacts and temporary files.",
    )
    retention_days: float = Field(
        default=7.0, gt=0, description="Days until a finished job and its artifacts are deleted."
    )
    allow_private_urls: bool = Field(
        default=False,
        description="Whether URLs that clients give (videos, webhooks) may be plain `http` and "
        "lead to loopback, link-local and private addresses.",
    )
    blocked_words_file: Path | None = Field(
        default=None,
        description="Words and phrases that no prompt and no caption may have: one per line, "
        "`[name]` begins a rule. Unset: nothing is judged.",
    )
    log_level: str = Field(default="INFO", description="Python logging level name.")

    @field_validator("blocked_words_file")
    @classmethod
    def _check_words(cls, path: Path | None) -> Path | None:
        read_policy(path)
        return path and path.absolute()

    @property
    def artifacts_url(self) -> str:
        """The store's URL with the local default filled in."""
        return self.storage_url or (self.data_dir / "artifacts").absolute().as_uri()
