"""The image library: built once, found, refused while in use, cleared away; directories as images."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.apt import AptTree, Mirrors, Package
from banger.images.disks.importing import DiskPlan
from banger.images.records import library as library_module
from banger.images.records import tree_tar
from banger.images.records.debian import Plan
from banger.images.records.library import ImageLibrary, Wish
from banger.images.records.ready_disk import copy_ready_disk
from banger.images.records.rootfs import parse_rootfs_ref, require_directory
from banger.images.records.tree_tar import PackedTree
from banger.model.image import Image
from banger.model.operation import Report
from tests.support.paths import paths_below
from tests.support.records import Records
from tests.support.reports import silent
from tests.support.small_disk import make_disks_small


class Builder:
    """Stands for apt, mmdebstrap, tar and the writer; `contents` are what the tree holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.version = "1"
        self.contents = "c1"
        self.builds = 0
        self.disks = 0
        self.fail = False
        monkeypatch.setattr(AptTree, "update", self.update)
        monkeypatch.setattr(AptTree, "prepare_install", self.plan)
        monkeypatch.setattr(AptTree, "mirrors", self.mirrors)
        for name, stand_in in (
            ("find_tool", lambda name: name),
            ("require_namespace", self.namespace),
            ("have_ranges", lambda: True),
            ("build_tree", self.build),
        ):
            monkeypatch.setattr(library_module, name, stand_in)
        monkeypatch.setattr(tree_tar, "pack_tree", self.pack)
        monkeypatch.setattr(tree_tar, "write_tree_disk", self.write)

    async def namespace(self) -> None:
        pass

    async def update(self, report: Report, force: bool = False) -> None:
        await asyncio.sleep(0)

    async def plan(self, packages: list[str]) -> list[Package]:
        return [Package("apt", self.version, 1)]

    async def mirrors(self) -> Mirrors:
        return Mirrors("file:/m", None)

    async def build(self, plan: Plan, mirrors: Mirrors, work: Path, report: Report) -> Path:
        self.builds += 1
        (work / "root").mkdir()
        await asyncio.sleep(0.01)
        if self.fail:
            raise Error("image_build_failed", "no")
        return work / "root"

    async def pack(
        self, tree: Path, work: Path, ranges: bool, report: Report, keep_free_bytes: int
    ) -> PackedTree:
        return PackedTree(work / "tree.tar", self.contents, 1)

    async def write(self, packed: PackedTree, disk: DiskPlan, final: Path, report: Report) -> None:
        self.disks += 1
        final.parent.mkdir(parents=True, exist_ok=True)
        final.write_bytes(bytes(4096))


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    return Builder(monkeypatch)


@pytest.fixture
def library(tmp_path: Path) -> ImageLibrary:
    return ImageLibrary(paths_below(tmp_path), Records())


def pull(library: ImageLibrary, ref: str = "debian-bookworm", force: bool = False) -> Image:
    return asyncio.run(library.pull(ref, silent, Wish(force=force)))


def nobody(image: Image) -> list[str]:
    return []


def test_a_pulled_image_is_found_by_name_and_by_alias(library: ImageLibrary, builder: Builder) -> None:
    image = pull(library, "debian")
    assert library.get("debian-bookworm") == library.get("debian") == image
    assert image.name == "debian-bookworm" and image.size_bytes == 4096
    assert library.disk(image).name == f"{image.digest}.ext4"


def test_what_is_here_and_current_is_not_built_again(library: ImageLibrary, builder: Builder) -> None:
    first = pull(library)
    assert first == pull(library) and builder.builds == 1
    builder.version, builder.contents = "2", "c2"
    assert pull(library).digest != first.digest and builder.builds == 2
    pull(library, force=True)
    assert builder.builds == 3


def test_two_pulls_at_once_build_once(library: ImageLibrary, builder: Builder) -> None:
    async def main() -> list[Image]:
        refs = ("debian", "debian-bookworm", "debian")
        return await asyncio.gather(*(library.pull(ref, silent) for ref in refs))

    assert len({image.digest for image in asyncio.run(main())}) == 1
    assert builder.builds == 1


def test_when_the_first_of_two_pulls_is_cancelled_the_second_builds(
    library: ImageLibrary, builder: Builder
) -> None:
    async def main() -> Image:
        first = asyncio.create_task(library.pull("debian", silent))
        second = asyncio.create_task(library.pull("debian", silent))
        while not builder.builds:
            await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(main()) == library.get("debian")
    assert builder.builds == 2 and builder.disks == 1


def test_a_failed_or_cancelled_build_leaves_nothing(library: ImageLibrary, builder: Builder) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(library.pull("debian", silent))
        while not builder.builds:
            await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    builder.fail = True
    with pytest.raises(Error):
        pull(library)
    assert library.list() == [] and list(library._paths.images.iterdir()) == []


def test_ensure_takes_an_old_one(library: ImageLibrary, builder: Builder) -> None:
    image = pull(library)
    builder.version = "2"
    assert asyncio.run(library.ensure("debian", silent)) == image
    library.disk(image).unlink()
    assert asyncio.run(library.ensure("debian", silent)).source != image.source


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_an_unknown_name_is_an_error_that_lists_the_known(library: ImageLibrary, verb: str) -> None:
    with pytest.raises(Error) as caught:
        if verb == "get":
            library.get("nope")
        else:
            asyncio.run(library.delete("nope", nobody))
    assert caught.value.code == "image_not_found"
    assert "debian-bookworm" in caught.value.hint


def test_a_used_image_is_not_deleted(library: ImageLibrary, builder: Builder) -> None:
    image = pull(library)
    with pytest.raises(Error) as caught:
        asyncio.run(library.delete("debian", lambda image: ["dev"]))
    assert caught.value.code == "in_use"
    asyncio.run(library.delete("debian", nobody))
    assert library.list() == [] and not library.disk(image).exists()


def test_a_disk_that_two_names_share_outlives_one(
    library: ImageLibrary, builder: Builder, tmp_path: Path
) -> None:
    refs = [f"rootfs:{name}={tmp_path}" for name in ("one", "two")]
    one, two = (pull(library, ref) for ref in refs)
    assert library.find("one") == library.find(refs[0]) == one
    asyncio.run(library.delete("one", nobody))
    assert one.digest == two.digest and library.disk(two).exists() and builder.disks == 1
    asyncio.run(library.delete(refs[1], nobody))
    assert not library.disk(two).exists()


def test_a_disk_that_nothing_names_is_stale(library: ImageLibrary, builder: Builder) -> None:
    disks = []
    for version in ("1", "2", "3"):
        builder.version, builder.contents = version, f"c{version}"
        disks.append(library.disk(pull(library)))
    assert list(asyncio.run(library.stale_disks(frozenset({disks[0].stem})))) == [disks[1]]


def test_sweep_removes_what_a_killed_build_left(library: ImageLibrary) -> None:
    (library._paths.images / ".partial-work-x/root").mkdir(parents=True)
    assert asyncio.run(library.sweep()) == 1
    assert list(library._paths.images.iterdir()) == []


def test_a_directory_is_named_after_itself_or_as_told(tmp_path: Path) -> None:
    (tmp_path / "my-root").mkdir()
    assert parse_rootfs_ref(f"rootfs:{tmp_path}/my-root/").name == "my-root"
    assert parse_rootfs_ref(f"rootfs:tiny={tmp_path}").name == "tiny"
    (tmp_path / "a=b").mkdir()
    assert parse_rootfs_ref(f"rootfs:x={tmp_path}/a=b").directory == tmp_path / "a=b"


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("rootfs:", "file_not_found"),
        ("rootfs:relative", "file_not_found"),
        ("rootfs:/nowhere/at/all", "file_not_found"),
        ("rootfs:/", "bad_name"),
        ("rootfs:Bad_Name=/tmp", "bad_name"),
        ("rootfs:/etc/hosts", "file_not_found"),
    ],
)
def test_bad_directory_refs_are_refused(ref: str, code: str) -> None:
    with pytest.raises(Error) as caught:
        require_directory(parse_rootfs_ref(ref))
    assert caught.value.code == code


def test_a_directory_cannot_take_the_name_of_a_known_image(library: ImageLibrary, tmp_path: Path) -> None:
    for name in ("debian-bookworm", "debian"):
        with pytest.raises(Error) as caught:
            pull(library, f"rootfs:{name}={tmp_path}")
        assert caught.value.code == "name_taken"


@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "relative", "missing", "nul"])
def test_only_a_plain_file_by_its_absolute_path_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And nothing is waited for: nobody writes to the pipe."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    disk = tmp_path / "relative"
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
        file.seek(1080)
        file.write(b"\x53\xef")
    places = {"device": "/dev/zero", "directory": str(tmp_path), "relative": "relative", "nul": "/a\0b"}
    with pytest.raises(Error) as caught:
        asyncio.run(copy_ready_disk(Path(places.get(kind, tmp_path / kind)), tmp_path / "images"))
    assert caught.value.code == "file_not_found"
    assert not (tmp_path / "images").exists()
    assert asyncio.run(copy_ready_disk(disk, tmp_path / "images"))


def test_a_disk_that_is_copied_leaves_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_disks_small(monkeypatch, 50 << 20)
    (tmp_path / "images").mkdir()
    disk = tmp_path / "disk"
    disk.write_bytes(b"x" * 1080 + b"\x53\xef" + b"x" * ((40 << 20) - 1082))
    with pytest.raises(Error) as caught:
        asyncio.run(copy_ready_disk(disk, tmp_path / "images", 20 << 20))
    assert caught.value.code == "insufficient_disk" and os.listdir(tmp_path / "images") == []
    assert asyncio.run(copy_ready_disk(disk, tmp_path / "images", 5 << 20))
