"""What has its name is whole, and is found under it, wherever the power fails: of everything that is published."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.catalogs.publication import Publication
from banger.client.whole_file import write_whole
from banger.host.fs import open_partial, publish, write_file
from banger.store.backup import back_up
from banger.store.durability import DELAY_S, LogSync
from banger.store.migrations import STEPS
from banger.store.salvage import salvage
from banger.store.store import Store
from banger.vmm.qemu import layers
from tests.support.power import Tree, watch_power

SOURCE = Path(__file__).parents[2] / "src/banger"
# Who gives a file another name by itself, and why that need not survive a power failure, or does.
RENAMES = {
    "host/fs.py": "publishes",
    "client/whole_file.py": "publishes; a client knows no host room",
    "images/fetch/blobs.py": "publishes where a prune may take the directory away",
    "kernels/library.py": "into what is published next, or out of its way",
    "kernels/bundled.py": "within what is published next",
    "machines/ask/execs.py": "logs",
    "machines/ask/log_times.py": "times of logs",
    "machines/watch/log_turns.py": "logs",
    "resources/teardown.py": "what is to be removed, and has a record",
    "client/trees/unpacking.py": "copies of a user, from a machine",
    "templates/making.py": "sums are checked before use",
    "vmm/qemu/layers.py": "disks, which `sync` and `push_down` bring to the disk",
    "vmm/qemu/overlay.py": "a disk with nothing in it yet",
}


def write_in_new_directories(root: Path) -> None:
    write_file(root / "a/b/final", b"new")


def write_over(root: Path) -> None:
    write_file(root / "final", b"new")


def fill_partial(root: Path) -> None:
    with open_partial(root / "final") as partial:
        partial.write_bytes(b"new")


def publish_file(root: Path) -> None:
    (root / "filled").write_bytes(b"new")
    publish(root / "filled", root / "final")


def write_for_a_user(root: Path) -> None:
    write_whole(str(root / "final"), [b"n", b"ew"])


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (write_in_new_directories, "a/b/final"),
        (write_over, "final"),
        (fill_partial, "final"),
        (publish_file, "final"),
        (write_for_a_user, "final"),
    ],
)
def test_a_file_is_the_old_one_or_the_new_one_and_in_the_end_the_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, act: Callable[[Path], None], name: str
) -> None:
    (tmp_path / "final").write_bytes(b"old")
    with watch_power(monkeypatch, tmp_path) as power:
        act(tmp_path)
    assert {cut.get(name) for cut in power.cuts} <= {None if "/" in name else b"old", b"new"}
    assert power.fail()[name] == b"new"


def test_a_directory_is_there_with_all_that_is_in_it_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole: Tree = {"vmlinux": b"kernel", "modules/a.ko": b"module", "modules/b": "a.ko"}
    with watch_power(monkeypatch, tmp_path) as power, open_partial(tmp_path / "final") as partial:
        (partial / "modules").mkdir(parents=True)
        (partial / "vmlinux").write_bytes(b"kernel")
        (partial / "modules/a.ko").write_bytes(b"module")
        (partial / "modules/b").symlink_to("a.ko")
    found = [below(cut, "final/") for cut in [*power.cuts, power.fail()]]
    assert all(tree in ({}, whole) for tree in found) and found[-1] == whole


def below(tree: Tree, prefix: str) -> Tree:
    return {name.removeprefix(prefix): what for name, what in tree.items() if name.startswith(prefix)}


def test_a_bundle_in_a_catalog_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    publication = Publication(tmp_path, None, "lab")
    publication.prepare()
    with watch_power(monkeypatch, tmp_path) as power:
        (tmp_path / "bundles/packed").write_bytes(b"bundle")
        publication.take_bundle(tmp_path / "bundles/packed")
    assert b"bundle" in power.fail().values()


def test_the_copy_of_a_store_is_there_before_the_store_is_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "banger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    with watch_power(monkeypatch, tmp_path) as power:
        kept = back_up(connection, path, 3)
    connection.close()
    assert power.fail()[kept.name] == kept.read_bytes()


def test_a_damaged_store_is_there_until_what_was_saved_of_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "banger.db"
    Store(path).close()
    damaged = path.read_bytes()
    with watch_power(monkeypatch, tmp_path) as power:
        salvage(path, STEPS)
    fresh = path.read_bytes()
    assert {cut["banger.db"] for cut in power.cuts} <= {damaged, fresh}
    left = power.fail()
    assert left["banger.db"] == fresh and damaged in left.values()


def test_a_disk_is_found_with_all_that_lies_below_it_once_it_was_synced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("frozen", "machines"):
        (tmp_path / name).mkdir()
    frozen, disk = tmp_path / "frozen/root.qcow2", tmp_path / "machines/5f/root.qcow2"
    layers.create(frozen, "/nowhere/image.ext4", "raw", 1 << 20)
    with watch_power(monkeypatch, tmp_path) as power:
        disk.parent.mkdir()
        layers.lay_over(frozen, disk, 0)
        layers.sync(disk)
        left = below(power.fail(), "machines/5f/")
    chain = layers.read_chain(disk)
    assert left["root.qcow2"] == chain[0].name
    assert [left[file.name] for file in chain] == [file.read_bytes() for file in chain]


def test_what_was_committed_is_on_the_disk_a_moment_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def commit() -> None:
        store = Store(tmp_path / "banger.db")
        log_sync = LogSync(store.database)
        with watch_power(monkeypatch, tmp_path) as power:
            for number in range(20):
                store.resources.note("5f", "files", {"path": f"/nowhere/{number}"})
            synced = len(power.cuts)
            async with asyncio.timeout(60):
                while b"/nowhere/19" not in bytes_of(power.fail(), "banger.db-wal"):
                    await asyncio.sleep(DELAY_S)
            assert synced == 0, "a commit waits for no disk"
            assert len(power.cuts) < 20, "one sync does for many"
        await log_sync.close()
        store.close()

    asyncio.run(commit())


def bytes_of(tree: Tree, name: str) -> bytes:
    found = tree.get(name, b"")
    assert isinstance(found, bytes)
    return found


def renames(tree: ast.AST) -> bool:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(
        isinstance(call, ast.Attribute)
        and (call.attr == "rename" or (call.attr == "replace" and ast.unparse(call.value) == "os"))
        for call in calls
    )


def test_nobody_else_gives_files_their_names() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if renames(ast.parse(path.read_bytes()))
    }
    assert found == set(RENAMES)
