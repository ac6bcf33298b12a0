"""constraints.txt pins the whole environment exactly, and this environment is that one."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CUDA_PART = re.compile(r"nvidia-|cuda-|triton")  # pinned by torch's CUDA build, absent elsewhere
PIN_LINE = re.compile(r"[a-z0-9-]+==[a-z0-9.]+")


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {name: Version(version) for name, version in pairs}


def direct_requirements() -> list[Requirement]:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    groups = (pyproject["build-system"]["requires"], project["dependencies"], *extras)
    return [Requirement(text) for group in groups for text in group]


def installed_names() -> set[str]:
    """Return what the project needs and what that needs in turn, in this environment."""
    todo, seen = direct_requirements(), set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            needs = map(Requirement, distribution(requirement.name).requires or [])
            todo += [needed for needed in needs if applies(needed, requirement.extras)]
    return {name for name, _ in seen if not CUDA_PART.match(name)}


def applies(needed: Requirement, extras: set[str]) -> bool:
    marker = needed.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def test_each_line_of_the_constraints_is_one_exact_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if line[0] != "#" and not PIN_LINE.fullmatch(line)] == []


def test_pins_are_within_what_the_project_asks_for() -> None:
    pinned = pins()
    outside = [
        str(wanted)
        for wanted in direct_requirements()
        if not wanted.specifier.contains(pinned[canonicalize_name(wanted.name)])
    ]
    assert outside == []


def test_everything_installed_is_pinned_to_the_version_it_has() -> None:
    installed = {name: Version(distribution(name).version).public for name in installed_names()}
    pinned = {name: str(version) for name, version in pins().items() if name in installed}
    assert installed == pinned
