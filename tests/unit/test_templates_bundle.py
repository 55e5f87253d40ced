"""A snapshot travels in one file: it comes out as it went in, and whatever a stranger made of the file is refused."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import subprocess
import tarfile
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.bundles.members import MANIFEST, BundleFile, tar_header, tar_padding
from banger.bundles.zstd_frame import inflate
from banger.errors import Error
from banger.host.sparse import data_extents
from banger.host.thread import LONG
from banger.model.sizes import GIB, KIB, MIB
from banger.templates.bundle import SealedManifest, parse_manifest, seal
from banger.templates.bundle_reader import Limits, unpack
from banger.templates.bundle_transfer import describe_bundle, read_bundle_stream, unpack_bundle
from banger.templates.bundle_writer import describe, pack
from banger.vmm.qemu.frozen_files import QemuFrozenFiles
from tests.support.frozen_machine import snapshot_record
from tests.support.pace import allowed_s

LIMITS = Limits(total_bytes=GIB, disk_bytes=GIB)


class Members(QemuFrozenFiles):
    """Of which a test's snapshots consist."""

    def __init__(self, *names: str) -> None:
        self.members = names


def files_of(sealed: SealedManifest) -> Members:
    return Members(*(file.name for file in sealed.files))


NOISE = bytes(range(256)) * 16
SNAPSHOT = msgspec.structs.replace(
    snapshot_record(4 * GIB), size_bytes=12345, digest="sha256:of-an-earlier-export"
)


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    directory = tmp_path / "frozen"
    directory.mkdir()
    with open(directory / "memory", "wb") as file:
        file.truncate(9 * MIB + 4096)
        for offset in (0, 3 * MIB + 8192, 8 * MIB):
            os.pwrite(file.fileno(), NOISE * 3, offset)
    (directory / "devices").write_bytes(b"state of devices")
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "target"
    directory.mkdir()
    return directory


def export(directory: Path, *names: str) -> tuple[SealedManifest, bytes]:
    sealed = describe(directory, SNAPSHOT, Members(*(names or ("memory", "devices"))), threading.Event())
    return sealed, b"".join(pack(directory, sealed))


def in_chunks(data: bytes, size: int = 64 * KIB) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def take(data: bytes, directory: Path, limits: Limits = LIMITS, chunk: int = 64 * KIB) -> SealedManifest:
    return unpack(in_chunks(data, chunk), directory, limits, files_of, threading.Event())


def refusal(data: bytes, directory: Path, limits: Limits = LIMITS) -> str:
    with pytest.raises(Error) as caught:
        take(data, directory, limits)
    assert caught.value.code == "snapshot_invalid"
    assert caught.value.message.isprintable() and caught.value.message.isascii()
    return caught.value.message


def squeeze(archive: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(archive)


def member(name: str, data: bytes) -> bytes:
    return tar_header(name, len(data)) + data + bytes(tar_padding(len(data)))


def odd_member(**fields: object) -> bytes:
    info = tarfile.TarInfo("memory")
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def listed(name: str, data: bytes) -> BundleFile:
    return BundleFile(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def manifest_of(**changes: object) -> bytes:
    """The manifest of a bundle of one file, "memory" of 5 bytes, with fields changed; None leaves one out."""
    fields: dict[str, object] = msgspec.json.decode(seal(SNAPSHOT, [listed("memory", b"12345")]).data)
    kept = {key: value for key, value in {**fields, **changes}.items() if value is not None}
    return msgspec.json.encode(kept)


def archive_of(*rest: bytes, manifest: bytes | None = None, end: bytes = bytes(1024)) -> bytes:
    return squeeze(member(MANIFEST, manifest or manifest_of()) + b"".join(rest) + end)


def threads_at_work() -> int:
    """Those that did not end within a moment."""
    deadline = time.monotonic() + 5
    while LONG._unfinished and time.monotonic() < deadline:
        time.sleep(0.01)
    return LONG._unfinished


def test_what_was_packed_comes_out_with_its_holes(frozen: Path, target: Path) -> None:
    sealed, data = export(frozen)
    taken = take(data, target)
    assert taken == sealed
    assert sorted(path.name for path in target.iterdir()) == ["devices", "memory"]
    for name in ("memory", "devices"):
        assert (target / name).read_bytes() == (frozen / name).read_bytes()
        assert (target / name).stat().st_mode & 0o777 == 0o600
    with open(frozen / "memory", "rb") as before, open(target / "memory", "rb") as after:
        assert list(data_extents(after.fileno())) == list(data_extents(before.fileno()))


def test_zeros_that_were_written_become_holes(frozen: Path, target: Path) -> None:
    (frozen / "memory").write_bytes(bytes(4 * MIB) + b"x" + bytes(4 * MIB))
    take(export(frozen)[1], target)
    with open(target / "memory", "rb") as file:
        assert list(data_extents(file.fileno())) == [(4 * MIB, 4 * MIB + 4096)]


@pytest.mark.parametrize("chunk", [1, 511, 100_000_000])
def test_chunks_may_have_any_size(frozen: Path, target: Path, chunk: int) -> None:
    sealed, data = export(frozen)
    assert take(data, target, chunk=chunk).digest == sealed.digest


def test_the_digest_is_that_of_the_manifest_and_names_the_contents(frozen: Path) -> None:
    sealed, data = export(frozen)
    assert sealed.digest == "sha256:" + hashlib.sha256(sealed.data).hexdigest()
    assert export(frozen) == (sealed, data)
    (frozen / "devices").write_bytes(b"State of devices")
    assert export(frozen)[0].digest != sealed.digest


def test_the_record_in_a_bundle_has_no_digest_of_its_own(frozen: Path) -> None:
    assert export(frozen)[0].manifest.snapshot == msgspec.structs.replace(SNAPSHOT, digest="")


def test_ordinary_tools_read_it(frozen: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(export(frozen)[1])
    done = subprocess.run(
        ["tar", "--zstd", "-tf", tmp_path / "bundle"], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [MANIFEST, "memory", "devices"] and done.returncode == 0


def test_what_ordinary_tools_write_is_read(frozen: Path, target: Path, tmp_path: Path) -> None:
    sealed, _ = export(frozen)
    (frozen / MANIFEST).write_bytes(sealed.data)
    command = ["tar", "--format=gnu", "-cf", "-", MANIFEST, "memory", "devices"]
    archive = subprocess.run(command, cwd=frozen, capture_output=True, check=True).stdout
    assert take(squeeze(archive), target).digest == sealed.digest


def test_a_file_of_more_than_eight_gibibytes_has_a_header() -> None:
    assert tarfile.TarInfo.frombuf(tar_header("memory", 3 << 40), "utf-8", "strict").size == 3 << 40


def test_a_newer_writer_may_say_more(target: Path) -> None:
    manifest = manifest_of(
        signature="abc", files=[{**msgspec.to_builtins(listed("memory", b"12345")), "x": 1}]
    )
    taken = take(archive_of(member("memory", b"12345"), manifest=manifest), target)
    assert taken.data == manifest and taken.digest == "sha256:" + hashlib.sha256(manifest).hexdigest()


def test_empty_files_are_files(frozen: Path, target: Path) -> None:
    (frozen / "devices").write_bytes(b"")
    take(export(frozen)[1], target)
    assert (target / "devices").read_bytes() == b""


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/passwd", "Memory", "-rf", ".x", "a" * 65, "a\n", "é", MANIFEST],
)
def test_only_plain_names_travel(frozen: Path, target: Path, name: str) -> None:
    with pytest.raises(Error) as caught:
        describe(frozen, SNAPSHOT, Members(name), threading.Event())
    assert caught.value.code == "snapshot_invalid"
    file = {**msgspec.to_builtins(listed("memory", b"12345")), "name": name}
    bundle = archive_of(member("memory", b"12345"), manifest=manifest_of(files=[file]))
    assert "cannot be the name" in refusal(bundle, target)
    assert list(target.iterdir()) == []


TWICE = [msgspec.to_builtins(listed("memory", b"12345"))] * 2
LARGE = [{**msgspec.to_builtins(listed("memory", b"12345")), "size_bytes": GIB + 1}]
NO_DIGEST = [{**msgspec.to_builtins(listed("memory", b"12345")), "sha256": "0" * 63 + "\n"}]
NEGATIVE = [{**msgspec.to_builtins(listed("memory", b"12345")), "size_bytes": -1}]
ENDLESS = [{**msgspec.to_builtins(listed("memory", b"12345")), "size_bytes": 1 << 63}]
MANY = [{**msgspec.to_builtins(listed("memory", b"")), "name": f"f{n}"} for n in range(300)]


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (b"{", "is malformed"),
        (b"\xff\xfe", "is malformed"),
        (b'{"format":1}', "is malformed"),
        (b'{"format":1,"x":' + b"[" * 200_000, "is malformed"),
        (b'{"format":"\x1b[31m"}', "is malformed"),
        (manifest_of(format=2), "has format 2, this banger reads format 1"),
        (manifest_of(format=0), "has format 0"),
        (manifest_of(snapshot=None), "is malformed"),
        (manifest_of(snapshot={"id": "\x1b[31m" * 999}), "is malformed"),
        (manifest_of(snapshot={**msgspec.to_builtins(SNAPSHOT)}), "claims a digest"),
        (manifest_of(files=TWICE), "twice"),
        (manifest_of(files=LARGE), "at most 1GiB are allowed"),
        (manifest_of(files=NEGATIVE), "is malformed"),
        (manifest_of(files=ENDLESS), "is malformed"),
        (manifest_of(files=NO_DIGEST), "is malformed"),
        (manifest_of(files=MANY), "300 files"),
    ],
)
def test_a_manifest_that_is_not_in_order_is_refused(target: Path, manifest: bytes, expected: str) -> None:
    assert expected in refusal(archive_of(member("memory", b"12345"), manifest=manifest), target)
    assert list(target.iterdir()) == []


MEMORY = member("memory", b"12345")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "cut off"),
        (b"x", "cut off"),
        (b"no zstd at all", "not compressed with zstd"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "cannot be inflated"),
        (b"\x28\xb5\x2f\xfd\x00\x58" + b"\xf9\xff\xff" + bytes(100), "a block is too large"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0skip" + archive_of(MEMORY), "not compressed with zstd"),
        (squeeze(b""), "cut off"),
        (squeeze(b"x" * 511), "cut off"),
        (squeeze(b"x" * 5120), "not a tar archive"),
        (squeeze(bytes(10240)), "ends where manifest.json should be"),
        (squeeze(MEMORY + bytes(1024)), "'memory' where manifest.json"),
        (squeeze(tar_header(MANIFEST, 0) + bytes(1024)), "has 0 bytes"),
        (squeeze(tar_header(MANIFEST, MIB + 1) + bytes(2 * MIB)), "1048577 bytes"),
        (squeeze(odd_member(name=MANIFEST, size=-1)), "has -1 bytes"),
        (squeeze(odd_member(name=MANIFEST, size=1 << 80)), "1048576 are allowed"),
        (archive_of(), "ends where memory should be"),
        (archive_of(end=b""), "cut off"),
        (archive_of(MEMORY, MEMORY), "more in it"),
        (archive_of(MEMORY, member("extra", b"1")), "more in it"),
        (archive_of(member("devices", b"12345"), MEMORY), "'devices' where memory"),
        (archive_of(member("./memory", b"12345")), "where memory should be"),
        (archive_of(member("\udcff\x1b[31m", b"12345")), "where memory should be"),
        (archive_of(member("memory", b"1234")), "has 4 bytes, manifest.json says 5"),
        (archive_of(member("memory", b"12346")), "does not have the digest"),
        (archive_of(MEMORY[:517] + b"hidden".ljust(507, b"\0")), "hidden"),
        (archive_of(odd_member(type=tarfile.SYMTYPE, linkname="/etc/passwd")), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.LNKTYPE, linkname="/etc/passwd")), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.DIRTYPE)), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.CHRTYPE, devmajor=1, devminor=3)), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.BLKTYPE)), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.FIFOTYPE)), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.GNUTYPE_SPARSE, size=5)), "is not a regular file"),
        (archive_of(odd_member(type=tarfile.XHDTYPE, size=5)), "is not a regular file"),
        (archive_of(odd_member(name="a" * 101, size=5)), "'././@LongLink' where memory"),
        (archive_of(MEMORY, end=bytes(512)), "cut off"),
        (archive_of(MEMORY, end=bytes(1023)), "cut off"),
        (archive_of(MEMORY, end=bytes(1025)), "cut off"),
        (archive_of(MEMORY, end=bytes(1024) + b"x" * 512), "more in it"),
        (archive_of(MEMORY, end=bytes(100 * MIB)), "goes on after its end"),
        (archive_of(MEMORY) + b"x", "something follows"),
        (archive_of(MEMORY) + archive_of(MEMORY), "something follows"),
        (archive_of(MEMORY)[:-1], "cut off"),
        (archive_of(MEMORY)[:-4] + b"abcd", "cannot be inflated"),
    ],
)
def test_a_hostile_bundle_is_refused(target: Path, data: bytes, expected: str) -> None:
    assert expected in refusal(data, target)


def test_every_way_to_cut_it_off_is_seen(target: Path) -> None:
    whole = archive_of(MEMORY)
    for length in range(len(whole)):
        refusal(whole[:length], target)
        (target / "memory").unlink(missing_ok=True)
    take(whole, target)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damage_in_the_archive_is_refused_or_means_nothing(target: Path, data: st.DataObject) -> None:
    """Only what no digest covers may differ: who packed it and when."""
    manifest = manifest_of()
    archive = bytearray(member(MANIFEST, manifest) + MEMORY + bytes(1024))
    offset = data.draw(st.integers(0, len(archive) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=600))
    archive[offset : offset + len(noise)] = noise
    (target / "memory").unlink(missing_ok=True)
    try:
        taken = take(squeeze(bytes(archive)), target)
    except Error as exc:
        assert exc.code == "snapshot_invalid"
    else:
        file = taken.manifest.files[0]
        contents = (target / file.name).read_bytes()
        assert file.sha256 == hashlib.sha256(contents).hexdigest()
        assert taken.digest == "sha256:" + hashlib.sha256(taken.data).hexdigest()
        (target / file.name).unlink()
    assert {path.name for path in target.iterdir()} <= {"memory"}


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=20), st.integers(0, 20))
def test_damage_in_the_compressed_bytes_is_refused_or_means_nothing(
    target: Path, place: int, noise: bytes, removed: int
) -> None:
    whole = archive_of(MEMORY)
    place %= len(whole)
    (target / "memory").unlink(missing_ok=True)
    try:
        taken = take(whole[:place] + noise + whole[place + removed :], target)
    except Error as exc:
        assert exc.code == "snapshot_invalid"
    else:
        assert taken.data == manifest_of() and (target / "memory").read_bytes() == b"12345"


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_noise_is_no_manifest(noise: bytes) -> None:
    with pytest.raises(Error) as caught:
        parse_manifest(noise)
    assert caught.value.code == "snapshot_invalid"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 4000))
def test_inflating_noise_ends_in_a_refusal(noise: bytes, size: int) -> None:
    with pytest.raises(Error) as caught:
        list(inflate(in_chunks(b"\x28\xb5\x2f\xfd\x04\x58" + noise, size)))
    assert caught.value.code == "bundle_invalid"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=2000) | st.just(bytes(300_000)), max_size=6), st.integers(1, 3000))
def test_inflating_gives_back_what_was_compressed(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    for frame in (squeeze(data), zstandard.ZstdCompressor(level=19, threads=0).compress(data)):
        pieces = list(inflate(in_chunks(frame, size)))
        assert b"".join(pieces) == data and all(len(piece) <= 128 * KIB for piece in pieces)


def test_a_window_that_would_take_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Error) as caught:
        list(inflate(iter([frame.compress(bytes(MIB)) + frame.flush()])))
    assert "too much memory" in caught.value.message


def test_a_bomb_takes_neither_memory_nor_disk(target: Path) -> None:
    size = 256 * MIB
    zeros = hashlib.sha256()
    for _ in range(256):
        zeros.update(bytes(MIB))
    file = BundleFile(name="memory", size_bytes=size, sha256=zeros.hexdigest())
    archive = io.BytesIO()
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(archive, closefd=False) as stream:
        stream.write(member(MANIFEST, seal(SNAPSHOT, [file]).data) + tar_header("memory", size))
        for _ in range(256):
            stream.write(bytes(MIB))
        stream.write(bytes(1024))
    bomb = archive.getvalue()
    assert len(bomb) < 20_000
    assert "at most 64MiB are allowed" in refusal(bomb, target, Limits(64 * MIB, GIB))
    assert list(target.iterdir()) == []
    tracemalloc.start()
    try:
        take(bomb, target)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert (target / "memory").stat().st_size == size and (target / "memory").stat().st_blocks == 0


def test_a_disk_that_names_another_file_neither_leaves_nor_enters(frozen: Path, target: Path) -> None:
    leak = b"QFI\xfb" + (3).to_bytes(4, "big") + (120).to_bytes(8, "big") + bytes(200)
    (frozen / "root.qcow2").write_bytes(leak)
    with pytest.raises(Error) as caught:
        export(frozen, "root.qcow2")
    assert caught.value.code == "snapshot_invalid"
    manifest = seal(SNAPSHOT, [listed("root.qcow2", leak)]).data
    assert "backing file" in refusal(archive_of(member("root.qcow2", leak), manifest=manifest), target)


@pytest.mark.parametrize("call", ["pwrite", "ftruncate", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_called_so(
    target: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(Error) as caught:
        take(archive_of(MEMORY), target)
    assert caught.value.code == "insufficient_disk" and "memory" in caught.value.message


def test_nothing_that_is_there_already_is_overwritten(target: Path, tmp_path: Path) -> None:
    (target / "memory").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        take(archive_of(MEMORY), target)
    assert not (tmp_path / "elsewhere").exists()


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [lambda path: None, make_link, os.mkfifo, os.mkdir])
def test_only_files_are_packed(frozen: Path, make: Callable[[Path], None]) -> None:
    (frozen / "devices").unlink()
    make(frozen / "devices")
    with pytest.raises(Error) as caught:
        export(frozen)
    assert caught.value.code == "frozen_damaged" and "devices" in caught.value.message


def test_a_file_that_has_another_size_by_now_is_not_packed(frozen: Path) -> None:
    sealed, _ = export(frozen)
    (frozen / "devices").write_bytes(b"longer than it was before")
    with pytest.raises(Error) as caught:
        list(pack(frozen, sealed))
    assert caught.value.code == "frozen_damaged"


# Streams of the server.


async def received(data: bytes, pause_s: float = 0) -> AsyncIterator[bytes]:
    for chunk in in_chunks(data, 1000):
        await asyncio.sleep(pause_s)
        yield chunk


def test_streams_go_through_threads_that_end(frozen: Path, target: Path) -> None:
    async def travel() -> tuple[SealedManifest, SealedManifest]:
        sealed = await describe_bundle(frozen, SNAPSHOT, Members("memory", "devices"))
        return sealed, await unpack_bundle(read_bundle_stream(frozen, sealed), target, LIMITS, files_of)

    sent, taken = asyncio.run(travel())
    assert sent == taken == export(frozen)[0]
    assert (target / "memory").read_bytes() == (frozen / "memory").read_bytes()
    assert threads_at_work() == 0


def open_files() -> set[str]:
    return {os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.lexists(entry.path)}


def test_a_client_who_leaves_ends_the_export(frozen: Path) -> None:
    (frozen / "memory").write_bytes(os.urandom(8 * MIB))

    async def leave() -> None:
        stream = read_bundle_stream(frozen, describe(frozen, SNAPSHOT, Members("memory"), threading.Event()))
        assert len(await anext(stream)) >= 256 * KIB
        await stream.aclose()

    asyncio.run(leave())
    assert threads_at_work() == 0
    assert str(frozen / "memory") not in open_files()


def test_cancelling_an_export_ends_its_thread_at_once(frozen: Path) -> None:
    os.truncate(frozen / "memory", 1 << 40)
    huge = BundleFile(name="memory", size_bytes=1 << 40, sha256="0" * 64)

    async def cancel() -> None:
        stream = read_bundle_stream(frozen, seal(SNAPSHOT, [huge]))
        hashing = asyncio.ensure_future(describe_bundle(frozen, SNAPSHOT, Members("memory")))
        packing = asyncio.ensure_future(anext(stream))
        async with asyncio.timeout(60):
            while LONG._unfinished < 2:
                await asyncio.sleep(0.01)
        for task in (hashing, packing):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    begin = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - begin < allowed_s(5)
    assert threads_at_work() == 0
    assert str(frozen / "memory") not in open_files()


def test_an_upload_that_is_cancelled_leaves_no_thread(frozen: Path, target: Path) -> None:
    data = export(frozen)[1]

    async def cancel() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await unpack_bundle(received(data, pause_s=3600), target, LIMITS, files_of)

    asyncio.run(cancel())
    assert threads_at_work() == 0


def test_a_client_who_vanishes_is_the_error_that_is_raised(frozen: Path, target: Path) -> None:
    data = export(frozen)[1]

    async def vanishing() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        raise ConnectionResetError

    async def receive() -> None:
        with pytest.raises(ConnectionResetError):
            await unpack_bundle(vanishing(), target, LIMITS, files_of)

    asyncio.run(receive())
    assert threads_at_work() == 0


def test_an_upload_is_refused_before_its_end(target: Path) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"no bundle at all" * 1000

    async def receive() -> None:
        with pytest.raises(Error) as caught:
            async with asyncio.timeout(20):
                await unpack_bundle(endless(), target, LIMITS, files_of)
        assert caught.value.code == "snapshot_invalid"

    asyncio.run(receive())
    assert taken < 100 and threads_at_work() == 0


def test_an_upload_of_nothing_is_refused(target: Path) -> None:
    async def receive() -> None:
        with pytest.raises(Error) as caught:
            await unpack_bundle(received(b""), target, LIMITS, files_of)
        assert caught.value.code == "snapshot_invalid"

    asyncio.run(receive())
