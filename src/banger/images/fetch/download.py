"""One blob from a registry into the blob store: downloaded once for all pulls that want it, resumed, and verified
before it gets its name."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from banger.errors import Error, NoSpace
from banger.host.thread import in_thread
from banger.images.fetch.blobs import BlobStore, PartialBlob
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import Place, RegistryClient, authorized, check_status
from banger.images.fetch.failures import broken, nonsense, with_earlier
from banger.images.fetch.grants import Grant
from banger.images.fetch.lifeline import Lifeline, on_lifeline
from banger.images.fetch.retries import FOR_BLOBS, with_retries
from banger.images.fetch.transport import CHUNK_BYTES, Answer
from banger.images.fetch.verify import check_blob

# Counts bytes as they arrive; negative if some turned out to be useless. Called from threads.
OnBytes = Callable[[int], None]
_POLL_S = 0.05
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")
# If this much arrived since the last failure, the next failure counts as the first.
_PROGRESS_BYTES = 1024 * 1024


async def fetch_blob(
    client: RegistryClient,
    places: Sequence[Place],
    digest: str,
    size: int,
    store: BlobStore,
    on_bytes: OnBytes,
) -> ByteRange:
    """The blob, open: from the store, from another task that is fetching it, or from the first of `places` that has it.

    Raises `download_failed`, `registry_error`, `registry_denied`, `registry_busy`, `image_not_found`, `tls_failed`,
    `insufficient_disk`."""
    counted = 0  # of the bytes that another task fetches
    while True:
        present = await on_lifeline(lambda line: _open_verified(store, digest, size, line))
        if present is not None:
            on_bytes(size - counted)
            return present
        partial = await in_thread(store.claim, digest)
        if partial is None:
            fetched = min(size, await in_thread(store.fetched_bytes, digest))
            on_bytes(fetched - counted)
            counted = fetched
            await asyncio.sleep(_POLL_S)
            continue
        on_bytes(-counted)
        with partial:
            return await _download_from_any(client, places, partial, size, store, on_bytes)


async def _download_from_any(
    client: RegistryClient,
    places: Sequence[Place],
    partial: PartialBlob,
    size: int,
    store: BlobStore,
    on_bytes: OnBytes,
) -> ByteRange:
    *others, last = places
    failures = []
    for place in others:
        try:
            return await _Download(client, place, partial, size, store, on_bytes).run()
        except NoSpace:
            raise
        except Error as exc:
            failures.append((place.host, exc))
    try:
        return await _Download(client, last, partial, size, store, on_bytes).run()
    except Error as exc:
        raise with_earlier(exc, failures) from exc


class _Download:
    """A download from one place. It alone uses the partial file; hashed bytes stay valid from attempt to attempt."""

    def __init__(
        self,
        client: RegistryClient,
        place: Place,
        partial: PartialBlob,
        size: int,
        store: BlobStore,
        on_bytes: OnBytes,
    ) -> None:
        self._client = client
        self._place = place
        self._partial = partial
        self._size = size
        self._store = store
        self._on_bytes = on_bytes
        self._hash = hashlib.sha256()
        self._at = 0  # bytes that are in the file and hashed
        self._marked = 0
        self._inherited = partial.size > 0  # from an earlier download, perhaps from elsewhere

    async def run(self) -> ByteRange:
        what = f"{self._place.name}@{self._partial.digest}"
        try:
            return await with_retries(
                lambda: self._client.run(self._place, what, self._attempt),
                FOR_BLOBS,
                self._progressed,
                self._client.wait,
            )
        except Error:
            self._on_bytes(-self._at)  # the next download counts the bytes in the file again
            raise

    def _progressed(self) -> bool:
        got = self._at - self._marked
        self._marked = self._at
        return got >= _PROGRESS_BYTES

    def _attempt(self, line: Lifeline, grant: Grant | None) -> ByteRange:
        """Download; called in a thread. Raises `NetworkFailure` if another attempt may help."""
        self._take_over(line)
        if self._at < self._size:
            self._transfer(line, grant)
        line.check()
        if f"sha256:{self._hash.hexdigest()}" != self._partial.digest:
            self._refuse()
        return self._store.publish(self._partial)

    def _take_over(self, line: Lifeline) -> None:
        """Hash the bytes of an earlier download."""
        if self._partial.size > self._size:
            self._restart()
        while chunk := os.pread(self._partial.fd, CHUNK_BYTES, self._at):
            line.check()
            self._count(chunk)

    def _transfer(self, line: Lifeline, grant: Grant | None) -> None:
        headers = {"Range": f"bytes={self._at}-"} if self._at else {}
        request = self._place.request("blobs", self._partial.digest, headers)
        with self._client.transport.open(authorized(request, grant), line) as answer:
            check_status(answer, f"blob {self._partial.digest}", (200, 206, 416) if self._at else (200,))
            self._check_start(answer)
            length = answer.length()
            if length is not None and length > self._size - self._at:
                raise nonsense(
                    answer.host, f"it sends more than the {self._size} bytes of {self._partial.digest}"
                )
            self._receive(answer, line)

    def _check_start(self, answer: Answer) -> None:
        """Check where the answer begins. If the server does not resume there, the download begins again."""
        if answer.status == 200:
            if self._at:
                self._restart()
            return
        match = _RANGE.fullmatch(answer.header("Content-Range"))
        if answer.status == 416 or match is None or int(match[1]) != self._at:
            self._restart()
            raise broken(answer.host, "it does not resume where the download stopped")

    def _receive(self, answer: Answer, line: Lifeline) -> None:
        times = self._client.transport.timeouts
        line.allow(times.pace)
        since = self._at
        for chunk in answer.chunks():
            line.check()
            if len(chunk) > self._size - self._at:
                raise nonsense(
                    answer.host, f"it sends more than the {self._size} bytes of {self._partial.digest}"
                )
            _write(self._partial, chunk, self._at)
            self._count(chunk)
            if self._at - since >= times.pace_bytes:
                since = self._at
                line.allow(times.pace)
        if self._at < self._size:
            raise broken(answer.host, "the connection ended in the middle of a download")

    def _count(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self._at += len(chunk)
        self._on_bytes(len(chunk))

    def _restart(self) -> None:
        self._partial.truncate()
        self._on_bytes(-self._at)
        self._hash = hashlib.sha256()
        self._at = self._marked = 0

    def _refuse(self) -> NoReturn:
        """Raise the error for a wrong digest. Bytes of an earlier download may be the wrong ones: then everything is
        fetched again first."""
        self._restart()
        if self._inherited:
            self._inherited = False
            raise broken(self._place.host, f"the partial download of {self._partial.digest} was damaged")
        self._partial.discard()
        raise nonsense(
            self._place.host, f"it sent content that does not have the digest {self._partial.digest}"
        )


def _write(partial: PartialBlob, chunk: bytes, offset: int) -> None:
    """Raises `insufficient_disk`."""
    view = memoryview(chunk)
    try:
        while view:
            written = os.pwrite(partial.fd, view, offset)
            view, offset = view[written:], offset + written
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Error(
            "insufficient_disk", f"no space left for {partial.path}", "free space: banger image cache prune"
        ) from exc


def _open_verified(store: BlobStore, digest: str, size: int, line: Lifeline) -> ByteRange | None:
    """The blob from the store. A damaged blob is removed, to be fetched again."""
    found = store.open(digest)
    if found is None:
        return None
    try:
        check_blob(found, digest, size, line)
    except Error:
        found.close()
        store.remove(digest)
        return None
    except BaseException:
        found.close()
        raise
    return found
