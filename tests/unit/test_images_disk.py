"""Layers, and trees packed as one, become a disk: what names it, what ends it, what is not kept."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from banger.errors import Error
from banger.host.run import Result
from banger.images.disks.importing import Count, DiskPlan, in_counting_thread, plan_disk, write_disk
from banger.images.disks.merge import LayerInput, Limits, merge_layers
from banger.images.records import tree_tar
from banger.images.records.tree_tar import PackedTree, list_names, pack_tree, plan_tar, write_tree_disk
from banger.model.settings import Settings
from banger.model.sizes import MIB, TIB
from tests.support.layers import Member, MemorySink, layer_of, tar_of
from tests.support.reports import silent
from tests.support.small_disk import make_disks_small

SETTINGS = Settings()


def small_layer(directory: Path) -> LayerInput:
    return layer_of(tar_of([Member(b"a", "file", b"data")]), directory)


def write(layer: LayerInput, final: Path, size_bytes: int = 0, cancelled: bool = False) -> None:
    cancel = Event()
    if cancelled:
        cancel.set()
    disk = plan_disk([layer.diff_id], size_bytes, SETTINGS)
    write_disk([layer], disk, final, lambda count: None, cancel)


def test_a_disk_is_named_by_its_layers_in_order_and_by_its_size() -> None:
    plans = [plan_disk(["a", "b"], 0, SETTINGS), plan_disk(["b", "a"], 0, SETTINGS)]
    plans += [plan_disk(["a", "b"], MIB, SETTINGS), plan_disk(["ab"], 0, SETTINGS)]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert plan_disk(["a", "b"], 0, SETTINGS) == plans[0] and plans[0].size_bytes is None


def test_a_disk_appears_whole_and_read_only(tmp_path: Path) -> None:
    layer = small_layer(tmp_path)
    for name in ("one", "two"):
        write(layer, tmp_path / f"images/{name}")
    one, two = ((tmp_path / "images" / name).read_bytes() for name in ("one", "two"))
    assert one == two and (tmp_path / "images/one").stat().st_mode & 0o777 == 0o444
    assert sorted(os.listdir(tmp_path / "images")) == ["one", "two"]


@pytest.mark.parametrize(
    ("size_bytes", "cancelled", "code"),
    [(9 * TIB, False, "bad_size"), (MIB // 2, False, "bad_size"), (0, True, "cancelled")],
)
def test_a_disk_that_cannot_be_leaves_nothing(
    tmp_path: Path, size_bytes: int, cancelled: bool, code: str
) -> None:
    layer = small_layer(tmp_path)
    with pytest.raises(Error) as caught:
        write(layer, tmp_path / "images/disk", size_bytes, cancelled)
    assert caught.value.code == code
    assert os.listdir(tmp_path / "images") == []


def test_a_disk_may_be_larger_than_a_tebibyte(tmp_path: Path) -> None:
    write(small_layer(tmp_path), tmp_path / "images/disk", 2 * TIB)
    assert (tmp_path / "images/disk").stat().st_size == 2 * TIB


def test_attributes_that_ext4_has_no_place_for_are_dropped(tmp_path: Path) -> None:
    names = [
        "user.kept",
        "system.nfs4_acl",
        "com.apple.provenance",
        "btrfs.compression",
        "user.",
        "trusted.t",
    ]
    pax = {f"SCHILY.xattr.{name}": "v" for name in names}
    members = [Member(b"f", "file", b"x", pax=pax), Member(b"d", "dir", pax=pax)]
    layer = layer_of(tar_of(members), tmp_path)
    root = merge_layers([layer], MemorySink())
    for name in (b"f", b"d"):
        assert root.children[name].xattrs == {b"user.kept": b"v", b"trusted.t": b"v"}
    write(layer, tmp_path / "images/disk")


def test_a_tree_has_no_whiteouts_and_a_disk_of_its_own(tmp_path: Path) -> None:
    names = [b".wh.notes", b"d/.wh..wh..opq", b"d/.wh.", b"d/kept", b".wh.dir/in"]
    layer = layer_of(tar_of([Member(name, data=b"real") for name in names]), tmp_path)
    root = merge_layers([layer], MemorySink(), whiteouts=False)
    assert sorted(root.children) == [b".wh.dir", b".wh.notes", b"d"]
    assert sorted(root.children[b"d"].children) == [b".wh.", b".wh..wh..opq", b"kept"]
    plans = [plan_disk(["a"], 0, SETTINGS, whiteouts) for whiteouts in (True, False)]
    assert plans[0].digest != plans[1].digest


def written_bytes(disk: Path) -> int:
    return disk.stat().st_blocks * 512


def test_zeros_of_a_layer_take_no_space(tmp_path: Path) -> None:
    small = [Member(b"few/%d" % n, data=bytes(4000)) for n in range(1000)]
    large = [Member(b"large", data=bytes(64 * MIB)), Member(b"tail", data=bytes(32 * MIB) + b"x")]
    for name, members in (("nothing", []), ("zeros", [*small, *large])):
        write(layer_of(tar_of(members), tmp_path), tmp_path / name)
    assert written_bytes(tmp_path / "zeros") - written_bytes(tmp_path / "nothing") < 2 * MIB


@pytest.mark.parametrize(("byte", "left"), [(b"A", []), (b"\0", ["disk"])])
def test_the_reserve_is_kept_while_a_disk_is_written(
    tmp_path: Path, byte: bytes, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_disks_small(monkeypatch, 50 * MIB)
    layer = layer_of(tar_of([Member(b"f", data=byte * 40 * MIB)]), tmp_path, "gzip")
    disk = replace(plan_disk([layer.diff_id], 0, SETTINGS), keep_free_bytes=20 * MIB)
    final = tmp_path / "images/disk"
    if left:
        write_disk([layer], disk, final, lambda count: None, Event())
    else:
        with pytest.raises(Error) as caught:
            write_disk([layer], disk, final, lambda count: None, Event())
        assert caught.value.code == "insufficient_disk"
    assert os.listdir(tmp_path / "images") == left


def test_the_reserve_is_kept_while_a_tree_is_packed(tmp_path: Path) -> None:
    for place in ("tree", "work"):
        (tmp_path / place).mkdir()
    (tmp_path / "tree/f").write_bytes(b"x")
    with pytest.raises(Error) as caught:
        asyncio.run(pack_tree(tmp_path / "tree", tmp_path / "work", True, silent, 1 << 60))
    assert caught.value.code == "insufficient_disk"


def test_holes_of_a_tree_stay_holes(tmp_path: Path) -> None:
    for place in ("tree", "work", "again"):
        (tmp_path / place).mkdir()
    with open(tmp_path / "tree/sparse", "wb") as file:
        for at in range(20):
            file.seek(at * 300_000)
            file.write(b"data %d" % at)
        file.truncate(1 << 33)
    first, again = (
        asyncio.run(pack_tree(tmp_path / "tree", tmp_path / place, True, silent))
        for place in ("work", "again")
    )
    assert first.diff_id == again.diff_id and first.size_bytes < 2 * MIB
    disk = plan_disk([first.diff_id], 0, SETTINGS, whiteouts=False)
    asyncio.run(write_tree_disk(first, disk, tmp_path / "images/disk", silent))
    assert written_bytes(tmp_path / "images/disk") < 8 * MIB


def test_a_cancelled_thread_has_ended_before_the_cancellation_goes_on() -> None:
    ended: list[bool] = []

    async def main() -> None:
        started = Event()

        def work(count: object, cancel: Event) -> None:
            started.set()
            ended.append(cancel.wait(10))

        task = asyncio.create_task(in_counting_thread(work, 1, silent))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]

    asyncio.run(main())


def test_progress_is_in_bytes_and_ends_with_the_total() -> None:
    seen: list[tuple[int, int, str]] = []

    def note(
        phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
    ) -> None:
        seen.append((done, total, unit))

    def work(count: Count, cancel: Event) -> str:
        count(6)
        count(6)
        return "done"

    async def main() -> str:
        answer = await in_counting_thread(work, 10, note)
        await asyncio.sleep(0)
        return answer

    assert asyncio.run(main()) == "done"
    assert seen == [(6, 10, "bytes"), (10, 10, "bytes")]


def test_tar_is_told_everything() -> None:
    argv = plan_tar(Path("/t"), Path("/w/tree.tar"))
    assert {"--format=posix", "--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*"} < set(argv)
    assert "delete=atime,delete=ctime" in argv[2] and argv[argv.index("-C") + 1] == "/t"
    assert list_names([b"b", b"-a", b"\xff\n"]) == b"./-a\0./b\0./\xff\n\0"


@pytest.mark.parametrize(
    ("code", "stderr", "expected", "says"),
    [
        (1, b"tar: ./a: file changed as we read it\n", "image_build_failed", "changed while"),
        (
            2,
            b"tar: ./s: socket ignored\ntar: ./a: Cannot open: Permission denied\ntar: Exiting with failure\n",
            "image_build_failed",
            "./a: Cannot open",
        ),
        (
            2,
            b"tar: /w/t: Wrote only 2 of 10 bytes\ntar: No space left on device\n",
            "insufficient_disk",
            "no space",
        ),
        (2, b"tar: /w/t: Wrote only 2 of 10 bytes\n", "insufficient_disk", "no space"),
        (-9, b"", "image_build_failed", "-9"),
    ],
)
def test_what_tar_says_becomes_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, stderr: bytes, expected: str, says: str
) -> None:
    async def run(*args: object, **options: object) -> Result:
        return Result(code, b"", stderr)

    monkeypatch.setattr(tree_tar, "run", run)
    with pytest.raises(Error) as caught:
        asyncio.run(pack_tree(tmp_path, tmp_path, True, silent))
    assert caught.value.code == expected and says in caught.value.message


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        asyncio.run(pack_tree(tmp_path / "gone", tmp_path, True, silent))
    assert caught.value.code == "image_build_failed"


def test_a_tree_beyond_the_limits_is_a_failed_build(tmp_path: Path) -> None:
    layer = small_layer(tmp_path)
    packed = PackedTree(layer.path, layer.diff_id, layer.path.stat().st_size)
    disk = DiskPlan("0" * 64, None, Limits(entries=0))
    (tmp_path / "images").mkdir()
    with pytest.raises(Error) as caught:
        asyncio.run(write_tree_disk(packed, disk, tmp_path / "images/disk", silent))
    assert caught.value.code == "image_build_failed" and "entries" in caught.value.message
    assert os.listdir(tmp_path / "images") == []
