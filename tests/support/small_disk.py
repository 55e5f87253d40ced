"""A host's disk that is small, whatever this host's is and whoever else writes there: each file lies on one alone."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest


def make_disks_small(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """What a file's own file system has free is `size_bytes` less what the file takes."""

    def look(fd: int) -> SimpleNamespace:
        free = size_bytes - os.fstat(fd).st_blocks * 512
        return SimpleNamespace(f_bavail=max(0, free) // 512, f_frsize=512)

    monkeypatch.setattr(os, "fstatvfs", look)
