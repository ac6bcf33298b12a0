"""The packages are this repository's own, complete when built, and import one way."""

import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("contract", "server", "worker", "model", "cli", "univigu_client")
LARGEST_FILE_BYTES = 30 * 2**20
MACHINE_PATH = re.compile(rb"(?<![\w.~$}-])/(?:home|root|Users|work)/[\w.-]+")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_the_one_of_this_repository(package: str) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_a_built_wheel_has_every_tracked_file_of_the_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    tracked = {path.relative_to(ROOT).as_posix() for path in tracked_files()}
    wanted = {name for name in tracked if name.split("/")[0] in PACKAGES}
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_imports_go_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_no_tracked_file_is_too_large_for_a_clone() -> None:
    large = [path.name for path in tracked_files() if path.stat().st_size > LARGEST_FILE_BYTES]
    assert large == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): match.group().decode()
        for path in tracked_files()
        if path.suffix != ".safetensors" and (match := MACHINE_PATH.search(path.read_bytes()))
    }
    assert found == {}
