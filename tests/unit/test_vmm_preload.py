"""The library that QEMU preloads, in another program that opens files: this interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import cpu
from banger.vmm.qemu import preload


@pytest.fixture
def library() -> Path:
    try:
        return preload.library(cpu.architecture())
    except Error:
        pytest.skip("capability missing: what QEMU preloads, built (make setup)")


def preloaded(library: Path, program: str, *arguments: str, fd: int | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *arguments],
        env={"LD_PRELOAD": str(library)},
        pass_fds=[] if fd is None else [fd],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "ld.so" not in done.stderr
    return done.stdout


def test_who_asks_for_writing_gets_the_descriptor_for_reading_that_there_is(
    library: Path, tmp_path: Path
) -> None:
    (tmp_path / "memory").write_text("frozen")
    fd = os.open(tmp_path / "memory", os.O_RDONLY)
    program = (
        "import fcntl, os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "print(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY, os.read(fd, 10))\n"
        "print(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)\n"
    )
    try:
        assert preloaded(library, program, preload.path_of(fd), fd=fd).split("\n")[:2] == [
            "True b'frozen'",
            "1",
        ]
    finally:
        os.close(fd)


@pytest.mark.parametrize("path", ["/banger/descriptor/", "/banger/descriptor/9x", "/banger/descriptor/-1"])
def test_what_is_no_descriptor_is_not_there(library: Path, path: str) -> None:
    program = (
        "import os, sys\ntry: os.open(sys.argv[1], os.O_RDWR)\nexcept FileNotFoundError: print('none')\n"
    )
    assert preloaded(library, program, path) == "none\n"


def test_all_other_files_are_opened_as_ever(library: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys\nos.umask(0)\n"
        "os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))\n"
        "print(oct(os.stat(sys.argv[1]).st_mode & 0o777))\n"
        "try: os.open(sys.argv[1], os.O_CREAT | os.O_EXCL, 0o640)\nexcept FileExistsError: print('there')\n"
    )
    assert preloaded(library, program, str(tmp_path / "new")) == "0o640\nthere\n"
