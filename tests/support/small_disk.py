"""A host's disk that is small, whatever this host's is and whoever else writes there: each file lies on one alone, or a
real file system of some MiB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest


@contextmanager
def mounted_small(place: Path, size: str) -> Iterator[None]:
    """Skips where nothing can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: mounting a small file system needs root")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def make_disks_small(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """What a file's own file system has free is `size_bytes` less what the file takes."""

    def look(fd: int) -> SimpleNamespace:
        free = size_bytes - os.fstat(fd).st_blocks * 512
        return SimpleNamespace(f_bavail=max(0, free) // 512, f_frsize=512)

    monkeypatch.setattr(os, "fstatvfs", look)
