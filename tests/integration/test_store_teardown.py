"""Teardown says what it could not undo, and keeps the record of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.resources import kinds, teardown
from banger.store.store import Store


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """A directory of which something cannot be removed, neither by root nor by its owner."""
    directory = tmp_path / "machine"
    (directory / "inner").mkdir(parents=True)
    (directory / "inner/disk").touch()
    if os.geteuid() != 0:
        (directory / "inner").chmod(0o500)
        yield directory
        (directory / "inner").chmod(0o700)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "none", directory / "inner"], capture_output=True).returncode:
        pytest.skip("capability missing: mounts")
    yield directory
    subprocess.run(["umount", directory / "inner"], check=True)


def test_a_directory_that_stays_keeps_its_record(store: Store, stuck: Path, tmp_path: Path) -> None:
    (tmp_path / "goes").mkdir()
    for path in (stuck, tmp_path / "goes"):
        store.resources.note("m", kinds.FILES.name, {"path": str(path)})
    (error,) = asyncio.run(teardown.release(store.resources, "m"))
    assert str(stuck) in error.message and error.hint
    assert [r.identity["path"] for r in store.resources.of_machine("m")] == [str(stuck)]
    assert not (tmp_path / "goes").exists()


def test_a_directory_that_is_gone_already_is_fine(store: Store, tmp_path: Path) -> None:
    store.resources.note("m", kinds.SOCKETS.name, {"path": str(tmp_path / "none")})
    assert asyncio.run(teardown.release(store.resources, "m")) == []
    assert store.resources.of_machine("m") == []
