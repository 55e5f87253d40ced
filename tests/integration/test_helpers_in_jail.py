"""Programs of the host that read what guests and strangers have written, each with a hostile program in its place: it
reaches the files that it is given, and nothing else, as root and as an ordinary user."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from banger.errors import Error
from banger.host import jail
from banger.host.apt import Mirrors, Package
from banger.host.jail import Jail
from banger.host.run import Result
from banger.images.records import debian as debian_image
from banger.images.records import tree_tar
from banger.images.records.debian import DebianImage, Plan
from banger.kernels import debian as debian_kernel
from banger.kernels import disk as modules_disk
from banger.kernels.debian import DebianKernel
from banger.vmm.qemu import disks, layers
from tests.support.prison import (
    NOBODY,
    PROBE,
    PYTHON,
    World,
    attempts_outside,
    copy_of_jail,
    layers_for,
    open_world,
    remove_copies,
)
from tests.support.reports import silent

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, to become several users"),
]


class Asked(NamedTuple):
    """What the product wanted to run, and how."""

    argv: Sequence[str]
    jail: Jail | None


class Recorder:
    """In the place of `host.run.run`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def __call__(self, argv: Sequence[str], **options: Any) -> Result:
        self.asked.append(Asked(argv, options.get("jail")))
        return Result(0, b"", b"")


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def without_copies() -> Iterator[None]:
    yield
    remove_copies()


async def qemu_img(work: Path) -> None:
    image = work / ("0" * 64 + ".ext4")
    image.write_bytes(bytes(4096))
    (work / "own").mkdir()
    layers.create(work / "own/root.qcow2", str(image), "raw", 1 << 20)
    await disks.convert(work / "own/root.qcow2", work / "target", "raw")


async def tar(work: Path) -> None:
    (work / "tree").mkdir()
    await tree_tar.pack_tree(work / "tree", work, True, silent)


async def shell_in_tree(work: Path) -> None:
    (work / "root").mkdir()
    recipe = DebianImage("debian", "bookworm", (), 0, "amd64")
    await debian_image.build_tree(Plan(recipe, []), Mirrors("http://x/debian", None), work, silent)


async def kernel_programs(work: Path) -> None:
    (work / "kernel.deb").touch()
    recipe = DebianKernel("k", "bookworm", "linux-image-amd64", "amd64")
    package = Package("linux-image", "1", 0)
    await debian_kernel.unpack_kernel(recipe, package, work / "kernel.deb", work, work / "out", silent)


async def mke2fs(work: Path) -> None:
    (work / "tree").mkdir()
    await modules_disk.make_modules_disk(work / "tree", work / "out", "0" * 32)


Helper = Callable[[Path], Awaitable[None]]
HELPERS: dict[str, tuple[Helper, list[str]]] = {
    "qemu-img": (qemu_img, ["qemu-img"]),
    "tar": (tar, ["tar"]),
    "sh": (shell_in_tree, ["sh"]),
    "dpkg-deb": (kernel_programs, ["dpkg-deb"]),
    "mke2fs": (mke2fs, ["mke2fs", "tune2fs"]),
}
# These run what the signed archive contains, with the network: in namespaces, but not in the jail.
CONTAINED = {"unshare"}


def ask(monkeypatch: pytest.MonkeyPatch, helper: Helper, work: Path) -> list[Asked]:
    recorder = Recorder()
    for module in (disks, tree_tar, debian_image, debian_kernel, modules_disk):
        monkeypatch.setattr(module, "run", recorder)

    async def scenario() -> None:
        try:
            await helper(work)
        except (Error, OSError):
            pass  # the recorder makes no files

    asyncio.run(scenario())
    return [asked for asked in recorder.asked if asked.argv[0] not in CONTAINED]


@pytest.mark.parametrize("user", [0, NOBODY])
@pytest.mark.parametrize("name", HELPERS)
def test_in_a_helpers_place_a_program_reaches_what_it_was_given(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, user: int
) -> None:
    helper, programs = HELPERS[name]
    work = world.root / "work"
    work.mkdir()
    asked = ask(monkeypatch, helper, work)
    assert [each.argv[0] for each in asked] == programs
    for each in asked:
        assert each.jail is not None and not each.jail.network
        found = imprison(world, each.jail, user, work)
        assert {attempt for attempt, result in found.items() if result == "done"} == given_by(each.jail)


def given_by(given: Jail) -> set[str]:
    return {
        *(f"list {path}" if path.is_dir() else f"read {path}" for path in given.read if path.exists()),
        *(f"write {path}" for path in given.write),
        *(f"write-in {path}" for path in given.trees),
    }


def imprison(world: World, given: Jail, user: int, work: Path) -> dict[str, str]:
    _give(work, user)
    attempts = [attempt for attempt in attempts_outside(world) if user or attempt[0] != "become"]
    attempts += [["list" if path.is_dir() else "read", str(path)] for path in given.read if path.exists()]
    attempts += [["write", str(path)] for path in (*given.write, *given.read) if path.is_file()]
    attempts += [["write-in", str(path)] for path in (*given.trees, work) if path.is_dir()]
    probe = world.root / "probe.py"
    shutil.copy(PROBE, probe)
    confined = Jail(
        read=(*(path for path in given.read if path.exists()), probe),
        write=given.write,
        trees=given.trees,
        capabilities=given.capabilities,
        bounds=given.bounds,
    )
    command = jail.prepare_command(
        [PYTHON, "-I", "-S", str(probe), json.dumps(attempts)],
        confined,
        layers_for(user),
        directory=Path("/"),
    )
    command[0] = copy_of_jail()
    said = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, user=user, group=user, extra_groups=[]
    )
    assert said.returncode == 0, said.stderr.decode()
    found: dict[str, str] = json.loads(said.stdout)
    return found


def _give(work: Path, user: int) -> None:
    for path in (work, *work.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)


@pytest.mark.parametrize("user", [0, NOBODY])
def test_a_helper_has_limits(world: World, user: int) -> None:
    target = world.vm / "disk"
    os.chown(target, user, user)
    command = jail.prepare_command(
        ["/bin/sh", "-c", f"ulimit -c; ulimit -n; ulimit -d; head -c 2M /dev/zero > {target}; echo $?"],
        Jail(write=(target,), bounds=jail.bounds_of_helper(1 << 20)),
        layers_for(user),
        directory=Path("/"),
    )
    command[0] = copy_of_jail()
    said = subprocess.run(command, capture_output=True, text=True, user=user, group=user, extra_groups=[])
    core, files, data, code = said.stdout.split()
    assert (core, files, data) == ("0", "256", str(2 << 20)) and code != "0"
    assert target.stat().st_size <= 1 << 20


def test_a_tree_of_several_users_is_read_whole_and_nothing_else_is(world: World, tmp_path: Path) -> None:
    """tar keeps the right to read files of other users, for the tree that it sees."""
    tree = world.root / "tree"
    tree.mkdir()
    (tree / "private").write_text("of another user")
    os.chown(tree / "private", NOBODY, NOBODY)
    (tree / "private").chmod(0o600)
    (tree / "link").symlink_to(world.secret)
    packed = asyncio.run(tree_tar.pack_tree(tree, tmp_path, True, silent))
    data = packed.archive.read_bytes()
    assert b"of another user" in data and b"theirs" not in data
