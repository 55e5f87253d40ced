"""What is published, as a newcomer has it: built from a clean clone, installed with pip, and a machine runs from it.

The packages that banger needs are those of this checkout's environment; only banger itself is installed anew.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from banger import __version__
from build_backend import AGENT, MACHINES, OF_THE_HOST, PLATFORM
from tests.support.home import IMAGE, REPOSITORY, open_home

# It compiles every program twice.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
TAG = f"py3-none-{PLATFORM}_x86_64"
NAME = f"banger_vm-{__version__}"
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
PT_INTERP = 3
IN_THE_WHEEL = [("banger/" + AGENT.place.format(each), each) for each in MACHINES] + [
    ("banger/" + program.place.format("x86_64"), "x86_64") for program in OF_THE_HOST
]


class Published(NamedTuple):
    """What `packaging/dist` made in `clone`."""

    clone: Path
    sdist: Path
    wheel: Path


def run(*argv: str | Path, **variables: str) -> str:
    """What it printed. Python keeps no compiled files, so a source tree stays as it is."""
    done = subprocess.run(
        argv,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clone_to(place: Path) -> Path:
    run("git", "clone", "-q", REPOSITORY, place)
    return place


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    clone = clone_to(tmp_path_factory.mktemp("first") / "checkout")
    sdist, wheel = map(
        Path, run(clone / "packaging/dist", clone / "made", BUILD_PYTHON=sys.executable).split()
    )
    return Published(clone, sdist, wheel)


def test_a_wheel_has_every_program_and_the_page(published: Published) -> None:
    assert published.wheel.name == f"{NAME}-{TAG}.whl"
    with zipfile.ZipFile(published.wheel) as wheel:
        names = wheel.namelist()
        for name, machine in IN_THE_WHEEL:
            mode, program = wheel.getinfo(name).external_attr >> 16 & 0o777, wheel.read(name)
            assert mode == (0o644 if name.endswith(".so") else 0o755), name
            assert struct.unpack_from("<H", program, 18)[0] == ELF_MACHINES[machine], name
            assert os.fsencode(published.clone) not in program and b"/tmp/banger-" not in program, name
            if name.endswith(".so"):
                needed = re.findall(rb"GLIBC_(\d+)\.(\d+)", program)
                assert needed and max((int(a), int(b)) for a, b in needed) <= (2, 28)
            else:
                assert PT_INTERP not in segments(program), f"{name} is not static"
        page = wheel.read("banger/web/assets/index.html").decode()
        linked = re.findall(r'(?:src|href)="/(assets/[^"]+)"', page)
        assert len(linked) == 3 and {
            f"banger/web/{path.replace('assets/', 'assets/assets/')}" for path in linked
        } <= {*names}
        assert {"banger/__init__.pyi", "banger/py.typed", f"{NAME}.dist-info/licenses/NOTICE"} <= {*names}
        assert [
            n for n in names if not n.startswith(("banger/", f"{NAME}.dist-info/")) or "__pycache__" in n
        ] == []
        about = wheel.read(f"{NAME}.dist-info/WHEEL").decode().splitlines()
        assert f"Tag: {TAG}" in about and "Root-Is-Purelib: false" in about
        assert (
            f"\nName: banger-vm\nVersion: {__version__}\n"
            in wheel.read(f"{NAME}.dist-info/METADATA").decode()
        )
        check_record(wheel)


def segments(program: bytes) -> set[int]:
    """The types of an ELF file's program headers (64 bits, little endian)."""
    (offset,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    return {struct.unpack_from("<I", program, offset + number * size)[0] for number in range(count)}


def check_record(wheel: zipfile.ZipFile) -> None:
    """RECORD names each file, with its size and its sum."""
    record = f"{NAME}.dist-info/RECORD"
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(wheel.read(record).decode()))}
    assert rows.keys() == {*wheel.namelist()}
    for name, (told, size) in rows.items():
        if name != record:
            content = wheel.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (told, size) == (f"sha256={digest}", str(len(content))), name


def test_an_sdist_has_what_a_build_reads_and_the_page_but_no_program(published: Published) -> None:
    assert published.sdist.name == f"{NAME}.tar.gz"
    with tarfile.open(published.sdist) as sdist:
        members = sdist.getmembers()
    names = [member.name.removeprefix(NAME + "/") for member in members]
    assert len(set(names)) == len(names)
    assert {"PKG-INFO", "LICENSE", "NOTICE", "guest/main.c", "src/banger/web/assets/index.html"} <= {*names}
    assert {AGENT.directory, *(p.directory for p in OF_THE_HOST)} <= {
        os.path.dirname(name) for name in names if name.endswith("/Makefile")
    }
    assert [name for name in names if re.search(r"(^|/)(bin|node_modules|__pycache__|\.git)/", name)] == []
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert {m.mode for m in members if m.name != f"{NAME}/PKG-INFO"} == {0o644, 0o755}


def test_another_place_umask_and_day_give_the_same_bytes(published: Published, tmp_path: Path) -> None:
    """pip builds from a clone what `packaging/dist` built by way of an sdist."""
    clone = tmp_path / "deeper/elsewhere"
    day = run("git", "-C", REPOSITORY, "log", "-1", "--format=%ct").strip()
    before = os.umask(0o077)
    try:
        clone_to(clone)
        for path in clone.rglob("*"):
            if path.is_file():
                os.utime(path, (1_500_000_000, 1_500_000_000))
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
        run(*pip, "-w", tmp_path, clone, SOURCE_DATE_EPOCH=day)
        run(
            *(
                sys.executable,
                "-c",
                "import build_backend, sys; build_backend.build_sdist(sys.argv[1])",
                tmp_path,
            ),
            PYTHONPATH=str(clone / "packaging/backend"),
            SOURCE_DATE_EPOCH=day,
        )
    finally:
        os.umask(before)
    for first in (published.wheel, published.sdist):
        assert (tmp_path / first.name).read_bytes() == first.read_bytes(), first.name
    assert run("git", "-C", clone, "status", "--porcelain", "--ignored") == "", (
        "a build writes into the source tree"
    )


@pytest.fixture(scope="module")
def installed(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel."""
    place = tmp_path_factory.mktemp("newcomer") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python")]
    run(*pip, "install", "-q", "--no-deps", "--no-index", published.wheel)
    names = {"base": str(place), "platbase": str(place)}
    packages = Path(sysconfig.get_path("purelib", vars=names))
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place


def test_a_newcomer_runs_a_machine(installed: Path, tmp_path: Path) -> None:
    for directory in ("home", "shared"):
        (tmp_path / directory).mkdir()
    (tmp_path / "shared/file").write_text("of the host\n")
    with open_home() as home:
        home.program = [str(installed / "bin/banger")]
        home.env |= {"HOME": str(tmp_path / "home"), "PATH": f"{installed / 'bin'}:{os.defpath}"}
        assert home.text("--version") == f"banger {__version__}\n"
        ran = home.run(
            "run", "--rm", "-v", f"{tmp_path}/shared:/mnt", IMAGE, "--", "sh", "-c", "uname -s; cat /mnt/file"
        )
        assert (ran.returncode, ran.stdout) == (0, b"Linux\nof the host\n"), ran.stderr
        home.text("run", "-d", "--name", "stays", IMAGE, "--", "sleep", "1000")
        assert home.json("vm", "show", "stays")["network"]["policy"] == "internet"
        found = {one["check"]: one for one in home.json("doctor")["findings"]}
        assert [one for one in found.values() if one["status"] == "problem"] == []
        assert found["jail"]["status"] == found["agent"]["status"] == found["network"]["status"] == "ok"
        assert page_of(home.json("ui", "--no-open")["url"]).count('<div id="app">') == 1
        daemon = Path(f"/proc/{home.daemon_pid()}/cmdline").read_bytes()
        assert daemon.startswith(os.fsencode(installed / "bin") + b"/python"), daemon
        for pid in home.guards().values():
            assert Path(f"/proc/{pid}/exe").resolve().is_relative_to(installed), os.readlink(
                f"/proc/{pid}/exe"
            )
    assert list((tmp_path / "home").iterdir()) == []


def page_of(url: str) -> str:
    connection = HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=60)
    try:
        connection.request("GET", "/", headers={"Host": urlsplit(url).netloc})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_program_in_python_finds_the_package_by_its_name(installed: Path) -> None:
    told = run(
        *(installed / "bin/python", "-c"),
        "import importlib.metadata, banger; print(importlib.metadata.version('banger-vm'), banger.__file__)",
        HOME="/nonexistent",
    ).split()
    assert told[0] == __version__ and Path(told[1]).is_relative_to(installed)
    assert shutil.which("bangerd", path=str(installed / "bin"))
    assert run(installed / "bin/bangerd", "--version") == f"{__version__}\n"
