"""What may take as long as a disk likes is done in threads: each test looks in which thread the blocking half ran."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.host import fs
from banger.host.paths import Paths
from banger.images.records.library import ImageLibrary
from banger.kernels.library import KernelLibrary
from banger.machines.ask import logs
from banger.machines.copies import snapshots
from banger.machines.keep import lost_records
from banger.model.image import Image, Kernel
from banger.resources import kinds, vmm_process
from banger.templates import library as templates
from banger.vmm.base import VmPlaces
from banger.vmm.frozen import Frozen
from banger.vmm.qemu import driver as qemu
from banger.vmm.qemu import layers, names
from tests.support.records import Records

Look = Callable[[object, str], list[bool]]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """Of a function in a module: whether each call of it was on the loop."""

    def look_at(module: object, name: str) -> list[bool]:
        calls: list[bool] = []
        plain = getattr(module, name)

        @functools.wraps(plain)
        def noted(*args: Any, **options: Any) -> Any:
            calls.append(_on_a_loop())
            return plain(*args, **options)

        monkeypatch.setattr(module, name, noted)
        return calls

    return look_at


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run(body: Callable[[], Awaitable[Any]]) -> Any:
    async def awaited() -> Any:
        return await body()

    return asyncio.run(awaited())


def paths_of(directory: Path) -> Paths:
    return Paths(directory, directory / "cache", directory / "run", directory / "config")


def test_a_log_is_read_and_its_tail_found(tmp_path: Path, look: Look) -> None:
    calls = look(logs, "_read_at")
    (tmp_path / "console.log").write_bytes(b"one\ntwo\nthree\n")

    async def read() -> bytes:
        stream = logs.read_log(tmp_path / "console.log", 2, False, lambda: False)
        return b"".join([chunk async for chunk in stream])

    assert run(read) == b"two\nthree\n"
    assert calls and not any(calls)


@pytest.mark.parametrize("kind", ["image", "kernel"])
def test_the_disk_of_what_is_deleted_loses_its_name_at_once_and_its_bytes_beside(
    tmp_path: Path, look: Look, kind: str
) -> None:
    paths = paths_of(tmp_path)
    calls = look(fs, "remove_tree")
    if kind == "image":
        image = Image(
            name="a", digest="d", architecture="x", size_bytes=0, used_bytes=0, source="", created=""
        )
        disk = paths.images / "d.ext4"
        library: ImageLibrary | KernelLibrary = ImageLibrary(paths, Records(image))
        disk.parent.mkdir(parents=True)
        disk.touch()
    else:
        kernel = Kernel(
            name="a",
            digest="d",
            architecture="x",
            release="",
            version="",
            size_bytes=0,
            source="",
            created="",
        )
        disk = paths.kernels / "d"
        library = KernelLibrary(paths, Records(kernel))
        (disk / "modules").mkdir(parents=True)
    run(lambda: library.delete("a", lambda _: []))
    assert [*disk.parent.iterdir()] == []
    assert calls == [False]


def test_snapshots_are_listed(tmp_path: Path, look: Look) -> None:
    calls = look(snapshots, "read_meta")
    for number in range(3):
        (tmp_path / f"snapshots/{number}").mkdir(parents=True)
    holdings: Any = SimpleNamespace(paths=SimpleNamespace(snapshots=tmp_path / "snapshots"))
    assert run(lambda: snapshots.SnapshotLibrary(holdings).list()) == []
    assert calls == [False] * 3


def test_a_template_is_gone_at_once_and_its_files_go_beside(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Resources:
        def note(self, *_: object) -> int:
            return 1

        def clear(self, _: int) -> None: ...

    calls = look(templates, "remove_tree")
    nothing: Any = None
    resources: Any = Resources()
    library = templates.TemplateLibrary(paths_of(tmp_path), resources, nothing, nothing, nothing)
    directory = paths_of(tmp_path).templates / "abcd"
    directory.mkdir(parents=True)
    run(lambda: library.discard("abcd", "a test"))
    assert [*directory.parent.iterdir()] == []
    assert calls == [False]


def test_disks_are_linked_or_copied_replaced_and_tidied(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[bool] = []
    for name in ("replace", "sync", "tidy"):
        monkeypatch.setattr(layers, name, lambda *_: done.append(_on_a_loop()))
    monkeypatch.setattr(qemu, "_prepare_files", lambda _: done.append(_on_a_loop()))
    places = VmPlaces(name="x", directory=tmp_path, run_directory=tmp_path)
    names.disk(tmp_path).symlink_to("nothing")
    driver = qemu.QemuDriver(tmp_path)
    driver._tsc_khz = 1
    config: Any = SimpleNamespace(places=places)

    async def all_four() -> None:
        await driver.prepare(config)
        await driver.disks.replace(tmp_path, Frozen(tmp_path))
        await driver.disks.sync(tmp_path)
        await driver.disks.tidy(tmp_path)

    run(all_four)
    assert done == [False] * 4


def test_all_processes_of_the_host_are_looked_at(tmp_path: Path, look: Look) -> None:
    calls, found = look(lost_records, "all_marked"), look(vmm_process, "find_marked")
    registry: Any = Records()
    holdings: Any = SimpleNamespace(paths=paths_of(tmp_path))
    run(lambda: lost_records.find_vmms(registry, holdings))
    run(lambda: kinds.VMM.release({"marker": "nobody has this one"}))
    assert calls == found == [False]
