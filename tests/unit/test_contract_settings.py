"""Shared settings come from the environment, once."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.settings import SharedSettings


def test_the_environment_is_read_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVIGU_REDIS_URL", "redis://example:6379/1")
    assert SharedSettings().redis_url == "redis://example:6379/1"


def test_artifacts_live_in_the_data_folder_by_default(tmp_path: Path) -> None:
    assert SharedSettings(data_dir=tmp_path).artifacts_url == (tmp_path / "artifacts").as_uri()


def test_a_storage_url_wins_over_the_data_folder(tmp_path: Path) -> None:
    settings = SharedSettings(data_dir=tmp_path, storage_url="s3://bucket/prefix")
    assert settings.artifacts_url == "s3://bucket/prefix"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SharedSettings().log_level = "DEBUG"  # type: ignore[misc]
