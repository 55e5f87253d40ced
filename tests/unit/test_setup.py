"""What is installed is what is pinned, and nothing of ours names a registry."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
OWN = {"banger-vm", "pip"}  # pip is the one that came with the interpreter
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)(?:; (.+))?")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    """Those for the interpreter and the machine that we run on."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in lines_of(path):
            match = PIN.fullmatch(line)
            assert match, f"{path.name}: {line}"
            assert normal(match[1]) not in found, f"{match[1]} is pinned twice"
            if match[3] is None or Marker(match[3]).evaluate():
                found[normal(match[1])] = match[2]
    return found


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="needs to run in this checkout's .venv")
def test_the_venv_is_what_the_pins_say() -> None:
    installed = {normal(d.name): d.version for d in distributions(path=[p for p in sys.path if ".venv" in p])}
    assert {name: version for name, version in installed.items() if name not in OWN} == pins()


def test_the_build_back_end_is_the_pinned_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["requires"] == [f"flit_core =={pins()['flit-core']}"]


def test_every_dependency_of_the_package_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {normal(re.split(r"[ <>=]", line)[0]) for line in project["project"]["dependencies"]}
    assert names - pins().keys() == set()


def test_where_packages_come_from_is_left_to_the_machine() -> None:
    places = [
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
        ROOT / ".ci/run",
        *(ROOT / "requirements").iterdir(),
        *(path for path in (ROOT / "packaging").rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ]
    places.remove(ROOT / "packaging/debian/copyright")  # its first line is the name of its format
    assert [path for path in places if re.search(r"https?://|index-url|find-links", path.read_text())] == []


def test_what_is_only_unpacked_for_tests_is_pinned_by_its_digest() -> None:
    lines = lines_of(ROOT / "packaging/unpack-test.txt")
    assert lines
    assert [
        line for line in lines if not re.fullmatch(r"[a-z-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", line)
    ] == []
    names = {normal(line.partition("==")[0]) for line in lines}
    assert names & ({normal(d.name) for d in distributions()} | pins().keys()) == set()
