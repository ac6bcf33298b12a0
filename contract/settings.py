"""Settings that every process shares; each process has one class on top of this one."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    log_level: str = Field(default="INFO", description="Python logging level name.")

    @property
    def artifacts_url(self) -> str:
        """The store's URL with the local default filled in."""
        return self.storage_url or (self.data_dir / "artifacts").absolute().as_uri()
