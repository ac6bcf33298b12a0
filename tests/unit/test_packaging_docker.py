"""Image and compose files: valid by their own linters, and true to what the project promises."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = ("server", "worker", "janitor")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document["services"]


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name(command[0])
    return subprocess.run(
        [tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


def stage(name: str) -> str:
    """Return the lines of one build stage."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
    assert found, f"no stage {name}"
    return found.group(1)


def test_hadolint_accepts_the_dockerfile() -> None:
    result = lint("hadolint", "Dockerfile")
    assert result.returncode == 0, result.stdout


def test_hadolint_would_refuse_an_unpinned_base(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\n")
    assert "DL3006" in lint("hadolint", str(tmp_path / "Dockerfile")).stdout


def test_the_compose_file_fits_the_compose_specification() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    result = lint("check-jsonschema", *schema, "docker-compose.yml")
    assert result.returncode == 0, result.stdout


def test_the_server_image_is_made_without_the_worker_requirements() -> None:
    assert "COPY --from=server-build " in stage("server")
    assert "worker.txt" not in stage("server-build")
    assert "worker.txt" in stage("worker-build")


def test_images_run_as_a_numbered_user_that_is_not_root() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.M) == ["10001"]
    assert "USER 10001" in stage("runtime")


def test_images_take_no_package_from_the_working_directory() -> None:
    assert "PYTHONSAFEPATH=1" in stage("base")


def test_the_queue_logs_every_write_and_evicts_nothing(services: dict[str, Any]) -> None:
    command = services["queue"]["command"]
    assert "--appendonly yes --appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command


@pytest.mark.parametrize("name", OURS)
def test_our_services_wait_for_a_healthy_queue(services: dict[str, Any], name: str) -> None:
    assert services[name]["depends_on"]["queue"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", [*OURS, "queue", "store"])
def test_every_service_has_an_init_and_time_to_stop(services: dict[str, Any], name: str) -> None:
    assert services[name]["init"] is True
    assert "stop_grace_period" in services[name]


@pytest.mark.parametrize("name", OURS)
def test_local_artifacts_are_in_one_volume_for_all(services: dict[str, Any], name: str) -> None:
    assert services[name]["volumes"] == ["data:/data"]
    assert services[name]["environment"]["UNIVIGU_STORAGE_URL"].endswith(
        ":-file:///data/artifacts}"
    )


def test_the_object_store_is_there_only_when_asked_for(services: dict[str, Any]) -> None:
    assert services["store"]["profiles"] == ["s3"]
    assert not any("profiles" in services[name] for name in (*OURS, "queue"))


def test_every_foreign_image_is_pinned_to_a_release(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values() if "build" not in service]
    assert all(re.search(r":\d+\.\d+", image) for image in images)
