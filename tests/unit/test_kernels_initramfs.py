"""The initramfs archive: what it holds, that it is a function of that, and that it is made once."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from banger.host.paths import Paths
from banger.kernels.initramfs import Entry, ensure_initramfs, forget_unused, write_cpio
from tests.support.paths import paths_below

AGENT = b"\x7fELF agent" * 100


def read_cpio(archive: bytes) -> dict[str, tuple[list[int], bytes]]:
    """Name → the 13 numbers of the header, and the contents."""
    found: dict[str, tuple[list[int], bytes]] = {}
    position = 0
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[i : i + 8], 16) for i in range(position + 6, position + 110, 8)]
        size, name_size = fields[6], fields[11]
        name = archive[position + 110 : position + 110 + name_size - 1].decode()
        start = (position + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            assert start == len(archive)
            return found
        found[name] = (fields, archive[start : start + size])
        position = (start + size + 3) & ~3


def kernel(tmp_path: Path, digest: str = "k1") -> Path:
    directory = tmp_path / digest
    (directory / "modules").mkdir(parents=True)
    for name in ("virtio", "virtio_blk", "vsock"):
        (directory / f"modules/{name}.ko").write_bytes(name.encode() * 33)
    (directory / "order").write_text("virtio.ko\nvirtio_blk.ko\n")
    (directory / "vsock").write_text("vsock.ko\n")
    return directory


def agent(tmp_path: Path, data: bytes = AGENT) -> Path:
    path = tmp_path / "agent"
    path.write_bytes(data)
    return path


def home(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


def test_agent_console_order_and_modules_are_in_it(tmp_path: Path) -> None:
    found = read_cpio(ensure_initramfs(home(tmp_path), kernel(tmp_path), agent(tmp_path)).read_bytes())
    assert list(found) == [
        *("dev", "dev/console", "init", "modules", "modules/order"),
        *("modules/virtio.ko", "modules/virtio_blk.ko"),
    ]
    assert found["init"][1] == AGENT
    assert found["init"][0][1] == stat.S_IFREG | 0o755
    assert found["dev/console"][0][1] == stat.S_IFCHR | 0o600
    assert found["dev/console"][0][9:11] == [5, 1]
    assert found["modules/order"][1] == b"virtio.ko\nvirtio_blk.ko\n"


def test_owner_and_time_are_zero_and_inodes_count_up(tmp_path: Path) -> None:
    found = read_cpio(ensure_initramfs(home(tmp_path), kernel(tmp_path), agent(tmp_path)).read_bytes())
    headers = [fields for fields, _ in found.values()]
    assert [fields[0] for fields in headers] == list(range(1, len(found) + 1))
    assert all(fields[2] == fields[3] == fields[5] == 0 for fields in headers)


def test_vsock_modules_come_last_and_only_when_asked_for(tmp_path: Path) -> None:
    path = ensure_initramfs(home(tmp_path), kernel(tmp_path), agent(tmp_path), vsock=True)
    found = read_cpio(path.read_bytes())
    assert found["modules/order"][1].split() == [b"virtio.ko", b"virtio_blk.ko", b"vsock.ko"]
    assert "modules/vsock.ko" in found


def test_names_of_every_length_stay_aligned() -> None:
    entries = [Entry("x" * n, stat.S_IFREG | 0o644, b"y" * n) for n in range(1, 9)]
    assert [data for _, data in read_cpio(write_cpio(entries)).values()] == [e.data for e in entries]


def test_it_is_made_once_for_the_same_inputs(tmp_path: Path) -> None:
    paths, directory, program = home(tmp_path), kernel(tmp_path), agent(tmp_path)
    first = ensure_initramfs(paths, directory, program)
    before = first.stat().st_mtime_ns
    begun = time.thread_time()
    assert all(ensure_initramfs(paths, directory, program) == first for _ in range(100))
    assert time.thread_time() - begun < 20
    assert first.stat().st_mtime_ns == before


def test_another_agent_or_kernel_gives_another_file(tmp_path: Path) -> None:
    paths, directory = home(tmp_path), kernel(tmp_path)
    names = {ensure_initramfs(paths, directory, agent(tmp_path)).name}
    names.add(ensure_initramfs(paths, directory, agent(tmp_path, AGENT + b"2")).name)
    names.add(ensure_initramfs(paths, kernel(tmp_path, "k2"), agent(tmp_path)).name)
    names.add(ensure_initramfs(paths, directory, agent(tmp_path), vsock=True).name)
    assert len(names) == 4


def test_the_same_contents_elsewhere_give_the_same_file(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    made = [ensure_initramfs(home(place), kernel(place), agent(place)) for place in (one, two)]
    assert made[0].name == made[1].name
    assert made[0].read_bytes() == made[1].read_bytes()


def test_unused_archives_are_forgotten(tmp_path: Path) -> None:
    paths, directory = home(tmp_path), kernel(tmp_path)
    old = ensure_initramfs(paths, directory, agent(tmp_path, b"old"))
    new = ensure_initramfs(paths, directory, agent(tmp_path, b"new"))
    assert forget_unused(paths, frozenset({new})) == 1
    assert new.exists() and not old.exists()
