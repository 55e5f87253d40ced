"""The blob store: claimed by one, published whole, pruned at any time."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.images.fetch.blobs import BlobStore, PartialBlob
from banger.images.fetch.byte_range import ByteRange


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "oci")


def claim(store: BlobStore, data: bytes) -> PartialBlob:
    """A prune may hold the lock for a moment."""
    deadline = time.monotonic() + 5
    while (partial := store.claim(digest_of(data))) is None:
        assert time.monotonic() < deadline
    return partial


def put(store: BlobStore, data: bytes) -> str:
    with claim(store, data) as partial:
        os.pwrite(partial.fd, data, 0)
        store.publish(partial).close()
    return digest_of(data)


def test_a_published_blob_is_found_by_its_digest(store: BlobStore) -> None:
    digest = put(store, b"abc")
    assert store.have(digest) and store.have(digest, 3) and not store.have(digest, 4)
    assert store.path_of(digest) == store.directory / "blobs/sha256" / digest.removeprefix("sha256:")
    opened = store.open(digest)
    assert opened is not None and opened.readall() == b"abc"
    opened.close()
    assert store.open(digest_of(b"x")) is None


def test_nobody_else_can_look_into_the_store(store: BlobStore) -> None:
    put(store, b"abc")
    assert store.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../x", "sha512:" + "0" * 128, "md5:0", "sha256:" + "A" * 64]
)
def test_only_digests_are_names(store: BlobStore, digest: str) -> None:
    for use in (store.path_of, store.have, store.open, store.claim):
        with pytest.raises(Error) as caught:
            use(digest)
        assert caught.value.code == "image_invalid"


def test_one_at_a_time_has_a_partial_and_the_next_goes_on_with_it(store: BlobStore) -> None:
    digest = digest_of(b"abc")
    with claim(store, b"abc") as partial:
        os.pwrite(partial.fd, b"ab", 0)
        assert store.claim(digest) is None
    with claim(store, b"abc") as partial:
        assert partial.size == 2
        partial.discard()
    with claim(store, b"abc") as partial:
        assert partial.size == 0


def test_what_is_whole_by_now_is_not_claimed(store: BlobStore) -> None:
    digest = put(store, b"abc")
    assert store.claim(digest) is None
    assert store.usage().partials == 0


def test_who_waited_for_the_lock_does_not_take_the_published_file(store: BlobStore, tmp_path: Path) -> None:
    first = claim(store, b"abc")
    waiting = os.open(first.path, os.O_RDWR)
    os.pwrite(first.fd, b"abc", 0)
    store.publish(first).close()
    first.close()
    os.close(waiting)
    assert store.claim(digest_of(b"abc")) is None


def test_usage_counts_both_kinds(store: BlobStore) -> None:
    assert store.usage().blobs == 0
    put(store, b"abc")
    put(store, b"defg")
    with claim(store, b"x") as partial:
        os.pwrite(partial.fd, b"12", 0)
    usage = store.usage()
    assert (usage.blobs, usage.blob_bytes, usage.partials, usage.partial_bytes) == (2, 7, 1, 2)


def test_prune_frees_everything_and_says_how_much(store: BlobStore) -> None:
    put(store, bytes(3 * 1024 * 1024))
    put(store, b"x")
    directory = store.directory
    would = store.prune(dry_run=True)
    assert str(would) == f"would free 3 MiB across 2 blob(s) in {directory}"
    assert store.usage().blobs == 2
    assert str(store.prune()) == f"freed 3 MiB across 2 blob(s) in {directory}"
    assert str(store.prune()) == f"freed 0 B across 0 blob(s) in {directory}"
    assert [path.name for path in directory.iterdir() if path.name.startswith("trash")] == []


def test_pruning_a_store_that_is_not_there_is_nothing(store: BlobStore) -> None:
    for dry_run in (True, False):
        assert (store.prune(dry_run).blobs, store.prune(dry_run).freed_bytes) == (0, 0)
    assert not store.directory.exists()


def test_prune_leaves_downloads_alone_that_somebody_is_at(store: BlobStore) -> None:
    with claim(store, b"busy") as busy:
        os.pwrite(busy.fd, b"bu", 0)
        with claim(store, b"idle") as idle:
            os.pwrite(idle.fd, b"idl", 0)
        assert store.prune(dry_run=True).freed_bytes == store.prune().freed_bytes == 3
        os.pwrite(busy.fd, b"busy", 0)
        blob = store.publish(busy)
    assert blob.readall() == b"busy" and store.have(digest_of(b"busy"))
    blob.close()


def test_an_open_blob_outlives_a_prune(store: BlobStore) -> None:
    opened = store.open(put(store, b"abc"))
    assert opened is not None
    store.prune()
    assert opened.readall() == b"abc"
    assert opened.path.read_bytes() == b"abc"
    opened.close()


def test_publishing_and_pruning_at_once_never_fails(store: BlobStore) -> None:
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            store.prune()

    threads = [threading.Thread(target=prune) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):
            with claim(store, str(number).encode()) as partial:
                os.pwrite(partial.fd, b"x", 0)
                with store.publish(partial) as blob:
                    assert blob.readall() == b"x"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_sweep_removes_trash_and_old_partials(store: BlobStore) -> None:
    put(store, b"abc")
    (store.directory / "trash-1-x/sha256").mkdir(parents=True)
    with claim(store, b"old") as old:
        os.utime(old.path, (0, 0))
    with claim(store, b"new"):
        pass
    assert store.sweep() == 2
    assert store.usage().partials == 1 and store.usage().blobs == 1
    assert BlobStore(store.directory / "nowhere").sweep() == 0


@settings(max_examples=50)
@given(st.binary(max_size=100), st.integers(0, 120), st.integers(0, 120), st.integers(1, 50))
def test_a_stretch_reads_as_a_slice(data: bytes, offset: int, size: int, step: int) -> None:
    fd = os.memfd_create("test")
    os.write(fd, data)
    with ByteRange(fd) as whole, whole.part(offset, size) as part:
        expected = data[offset : offset + size]
        assert part.size == len(expected)
        got = b""
        while chunk := part.read(step):
            got += chunk
        assert got == expected and part.tell() == len(expected)
        part.seek(-len(expected[:3]), os.SEEK_END)
        assert part.readall() == expected[-3:] if expected else part.readall() == b""
        assert whole.readall() == data
