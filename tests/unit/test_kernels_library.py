"""The kernel library: built once, found, refused while in use, cleared away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from banger.errors import Error
from banger.host.apt import AptTree, Package
from banger.kernels import library as library_module
from banger.kernels.debian import DebianKernel
from banger.kernels.library import KernelLibrary
from banger.model.image import Kernel
from banger.model.operation import Report
from tests.support.paths import paths_below
from tests.support.records import Records
from tests.support.reports import silent


class Archive:
    """Stands for apt and the unpacking of its package."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.version = "1"
        self.builds = 0
        self.fail = False
        monkeypatch.setattr(AptTree, "update", self.update)
        monkeypatch.setattr(AptTree, "find_dependency", self.find)
        monkeypatch.setattr(AptTree, "download", self.download)
        monkeypatch.setattr(library_module, "unpack_kernel", self.unpack)

    async def update(self, report: Report, force: bool = False) -> None:
        await asyncio.sleep(0)

    async def find(self, package: str, prefix: str) -> Package:
        return Package(f"{prefix}6.1.0-cloud-amd64", self.version, 10)

    async def download(self, package: Package, into: Path, report: Report) -> Path:
        return into / "k.deb"

    async def unpack(
        self, recipe: DebianKernel, package: Package, deb: Path, work: Path, out: Path, report: Report
    ) -> Kernel:
        self.builds += 1
        out.mkdir()
        (out / "vmlinux").write_text(package.version)
        await asyncio.sleep(0.01)
        if self.fail:
            raise Error("kernel_invalid", "no")
        return Kernel(
            name=recipe.name,
            digest=f"d{package.version}",
            architecture="x86_64",
            release="6.1.0",
            version=package.version,
            size_bytes=1,
            source="",
            created="",
        )


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(monkeypatch)


@pytest.fixture
def library(tmp_path: Path) -> KernelLibrary:
    return KernelLibrary(paths_below(tmp_path), Records())


def pull(library: KernelLibrary, ref: str = "debian-cloud", force: bool = False) -> Kernel:
    return asyncio.run(library.pull(ref, silent, force))


def nobody(name: str) -> list[str]:
    return []


def test_a_pulled_kernel_is_found_by_name_and_by_alias(library: KernelLibrary, archive: Archive) -> None:
    kernel = pull(library, "debian-cloud-bookworm")
    assert library.get("debian-cloud") == library.get("debian-cloud-bookworm") == kernel
    assert library.list() == [kernel]
    assert library.vmlinux(kernel).read_text() == "1"
    assert library.modules_disk(kernel).parent == library.directory(kernel)


def test_what_is_here_and_current_is_not_built_again(library: KernelLibrary, archive: Archive) -> None:
    first, second = pull(library), pull(library)
    assert first == second and archive.builds == 1
    archive.version = "2"
    assert pull(library).version == "2" and archive.builds == 2


def test_the_same_version_of_another_catalog_is_not_ours(library: KernelLibrary, archive: Archive) -> None:
    pulled = pull(library)
    library._records.put(msgspec.structs.replace(pulled, catalog="lab"))
    assert pull(library).catalog == "builtin" and archive.builds == 2
    assert pull(library).catalog == "builtin" and archive.builds == 2


def test_two_pulls_at_once_build_once(library: KernelLibrary, archive: Archive) -> None:
    async def main() -> list[Kernel]:
        return await asyncio.gather(*(library.pull("debian-cloud", silent) for _ in range(3)))

    assert len({kernel.digest for kernel in asyncio.run(main())}) == 1
    assert archive.builds == 1


def test_force_builds_again_and_replaces_the_files(library: KernelLibrary, archive: Archive) -> None:
    kernel = pull(library)
    library.vmlinux(kernel).write_text("damaged")
    assert pull(library, force=True) == kernel
    assert library.vmlinux(kernel).read_text() == "1"


def test_a_cleared_cache_means_pulling_again(library: KernelLibrary, archive: Archive) -> None:
    kernel = pull(library)
    library.vmlinux(kernel).unlink()
    with pytest.raises(Error):
        library.get("debian-cloud")
    assert asyncio.run(library.ensure("debian-cloud", silent)) == kernel
    assert archive.builds == 2


def test_ensure_takes_an_old_one(library: KernelLibrary, archive: Archive) -> None:
    pull(library)
    archive.version = "2"
    assert asyncio.run(library.ensure("debian-cloud-bookworm", silent)).version == "1"


def test_a_failed_build_leaves_nothing(library: KernelLibrary, archive: Archive) -> None:
    archive.fail = True
    with pytest.raises(Error):
        pull(library)
    assert library.list() == []
    assert list(library._paths.kernels.iterdir()) == []


def test_a_cancelled_build_leaves_nothing(library: KernelLibrary, archive: Archive) -> None:
    async def main() -> None:
        task = asyncio.create_task(library.pull("debian-cloud", silent))
        while not archive.builds:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert list(library._paths.kernels.iterdir()) == []


@pytest.mark.parametrize("verb", ["get", "pull", "delete"])
def test_an_unknown_name_is_an_error_that_lists_the_known(library: KernelLibrary, verb: str) -> None:
    with pytest.raises(Error) as caught:
        if verb == "get":
            library.get("nope")
        elif verb == "pull":
            pull(library, "nope")
        else:
            asyncio.run(library.delete("nope", nobody))
    assert caught.value.code == "kernel_not_found"
    assert "debian-cloud" in caught.value.hint


def test_a_kernel_that_is_not_pulled_says_how(library: KernelLibrary) -> None:
    with pytest.raises(Error) as caught:
        library.get("debian-cloud")
    assert caught.value.hint == "banger kernel pull debian-cloud"


def test_a_used_kernel_is_not_deleted(library: KernelLibrary, archive: Archive) -> None:
    kernel = pull(library)
    with pytest.raises(Error) as caught:
        asyncio.run(library.delete("debian-cloud", lambda name: ["dev", "web"]))
    assert caught.value.code == "in_use" and "dev, web" in caught.value.message
    asyncio.run(library.delete("debian-cloud-bookworm", nobody))
    assert library.list() == [] and not library.directory(kernel).exists()


def test_prune_keeps_what_is_named(library: KernelLibrary, archive: Archive) -> None:
    for version in ("1", "2", "3"):
        archive.version = version
        pull(library)
    assert library.prune(frozenset({"d2"})) == 1
    assert sorted(path.name for path in library._paths.kernels.iterdir()) == ["d2", "d3"]


def test_sweep_removes_what_a_killed_build_left(library: KernelLibrary) -> None:
    (library._paths.kernels / ".partial-work-x/root").mkdir(parents=True)
    assert library.sweep() == 1
    assert list(library._paths.kernels.iterdir()) == []
