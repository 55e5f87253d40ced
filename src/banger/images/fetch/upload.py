"""Blobs and manifests to a registry. What the registry has is not sent again.

Where an upload goes on is the registry's word: that address is judged as that of a redirect, and gets no log-in unless
it is at the registry itself. An upload that breaks off begins anew: a registry need not know how much it got, and the
usual ones refuse to go on after a broken request. Source: OCI distribution-spec, "Push".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urljoin

from banger.errors import Error, RegistryDenied
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.client import Place, RegistryClient, authorized, check_status
from banger.images.fetch.failures import broken, denied, may_pass, nonsense, not_taken
from banger.images.fetch.grants import Grant
from banger.images.fetch.lifeline import Lifeline
from banger.images.fetch.retries import FOR_BLOBS, FOR_DOCUMENTS, with_retries
from banger.images.fetch.transport import Answer, Request, split_url

_LOCATION_BYTES = 8000
_PRINTED = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Blob:
    """A blob to send, which stays open meanwhile."""

    digest: str
    contents: ByteRange

    @property
    def size(self) -> int:
        return self.contents.size


OnBytes = Callable[[int], None]


class Upload:
    """Sends to one repository, for as long as the client lives."""

    def __init__(self, client: RegistryClient, place: Place, mount_from: str = "") -> None:
        """`place` has the actions "pull,push". `mount_from` is another repository there that may have blobs, or ""."""
        self._client = client
        self._place = place
        self._mount_from = mount_from

    async def send_blob(self, blob: Blob, on_bytes: OnBytes) -> bool:
        """Whether the blob had to be sent. Raises `registry_denied`, `registry_error`, `registry_busy`,
        `download_failed`, `tls_failed`, `credentials_error`."""
        if await self._has(blob.digest):
            on_bytes(blob.size)
            return False
        counted = _Counted(on_bytes)
        try:
            sent = await self._send(blob, counted)
        except RegistryDenied:
            if not self._mount_from:
                raise
            self._mount_from = ""  # what may not be read is not asked for again
            sent = await self._send(blob, counted)
        if not sent:
            on_bytes(blob.size)
        return sent

    async def _send(self, blob: Blob, counted: _Counted) -> bool:
        """Whether the blob had to be sent. With a repository to mount from, the token is for both."""
        place = replace(self._place, source=self._mount_from)

        def attempt(line: Lifeline, grant: Grant | None) -> bool:
            counted.restart()
            location = self._begin(line, grant, blob)
            if location:
                self._put(line, grant, location, blob, counted)
            return bool(location)

        return await with_retries(
            lambda: self._client.run(place, self._place.name, attempt), FOR_BLOBS, tell=self._client.wait
        )

    async def put_manifest(self, version: str, data: bytes, media_type: str, digest: str) -> None:
        """Give the image its name; all its blobs are there. Raises as `send_blob`."""
        url = self._place.url("manifests", version)
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        request = Request(url, headers, method="PUT", content=lambda: iter([data]))

        def attempt(line: Lifeline, grant: Grant | None) -> None:
            with self._client.transport.open(authorized(request, grant), line) as answer:
                line.allow(self._client.transport.timeouts.small)
                self._check_manifest(answer)
                said = answer.header("Docker-Content-Digest")
                if said and said != digest:
                    raise nonsense(answer.host, f"it keeps the manifest as {said[:80]}, not as {digest}")

        await with_retries(
            lambda: self._client.run(self._place, self._place.name, attempt),
            FOR_DOCUMENTS,
            tell=self._client.wait,
        )

    def _check_manifest(self, answer: Answer) -> None:
        if answer.status in (400, 404, 409, 412, 422):
            raise Error(
                "registry_error",
                f"{answer.host} does not accept the manifest of {self._place.name} (status {answer.status})",
                "push again; if that does not help, the registry does not let this tag change, or it does not take "
                "such images",
                {"host": answer.host},
            )
        _check_taken(answer, self._place.name, (200, 201, 202))

    async def _has(self, digest: str) -> bool:
        request = replace(self._place.request("blobs", digest), method="HEAD")

        def attempt(line: Lifeline, grant: Grant | None) -> bool:
            with self._client.transport.open(authorized(request, grant), line) as answer:
                if answer.status == 404:
                    return False
                check_status(answer, self._place.name, (200,))
                return True

        return await with_retries(
            lambda: self._client.run(self._place, self._place.name, attempt),
            FOR_DOCUMENTS,
            tell=self._client.wait,
        )

    def _begin(self, line: Lifeline, grant: Grant | None, blob: Blob) -> str:
        """Where to put the blob; "" if the registry took it from the other repository."""
        mount_from = self._mount_from
        query = "?" + urlencode({"mount": blob.digest, "from": mount_from}) if mount_from else ""
        request = Request(
            self._place.url("blobs", "uploads/") + query, {"Content-Length": "0"}, method="POST"
        )
        with self._client.transport.open(authorized(request, grant), line) as answer:
            if mount_from and answer.status in range(400, 500) and not _is_usual(answer.status):
                raise denied(answer.host, mount_from)
            _check_taken(answer, self._place.name, (201, 202) if mount_from else (202,))
            return "" if answer.status == 201 else self._location(answer, request.url)

    def _location(self, answer: Answer, asked: str) -> str:
        """The address in an answer, judged. Raises `registry_error`."""
        text = answer.header("Location")
        if not _PRINTED.fullmatch(text) or len(text) > _LOCATION_BYTES:
            raise nonsense(answer.host, "it does not say where to send a layer")
        try:
            parts = split_url(urljoin(asked, text))
        except ValueError as exc:
            raise nonsense(answer.host, "it wants a layer at something that is not a URL") from exc
        if parts.netloc == self._place.host:
            parts = parts._replace(
                scheme="https"
            )  # a registry behind a proxy does not know that it speaks TLS
        else:
            self._client.transport.check_way(self._place.host, parts)
        return parts.geturl()

    def _put(self, line: Lifeline, grant: Grant | None, location: str, blob: Blob, counted: _Counted) -> None:
        transport, parts = self._client.transport, split_url(location)
        times = transport.timeouts
        is_own = parts.netloc == self._place.host
        query = "&".join(part for part in (parts.query, urlencode({"digest": blob.digest})) if part)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}

        def pieces() -> Iterator[bytes]:
            with blob.contents.part(0, blob.size) as source:
                while piece := source.read(times.pace_bytes):
                    line.allow(times.pace)
                    yield piece
                    counted.add(len(piece))
                if source.tell() != blob.size:
                    raise Error("image_invalid", f"blob {blob.digest} ends early", "pull the image again")
            line.allow(times.taken)

        request = Request(
            parts._replace(query=query).geturl(),
            headers,
            sender="" if is_own else self._place.host,
            method="PUT",
            content=pieces,
            answer_s=times.taken,
        )
        with transport.open(authorized(request, grant if is_own else None), line) as answer:
            if answer.status in (404, 416):
                raise broken(answer.host, "it forgot an upload")
            _check_taken(answer, f"a layer of {self._place.name}", (201, 204))


def _check_taken(answer: Answer, what: str, good: tuple[int, ...]) -> None:
    """As `check_status`, with the errors of pushes."""
    if answer.status in good or _is_usual(answer.status):
        return check_status(answer, what, good)
    raise not_taken(answer.host, what, answer.status)


def _is_usual(status: int) -> bool:
    """Whether a status means for a push what it means for a pull: a log-in that is missing, or a pause."""
    return status == 401 or may_pass(status)


class _Counted:
    """Counts the bytes of an upload; those of an attempt that failed are taken back."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes
        self._sent = 0

    def add(self, count: int) -> None:
        self._sent += count
        self._on_bytes(count)

    def restart(self) -> None:
        self._on_bytes(-self._sent)
        self._sent = 0
