"""The files of the web page. All are read when the door opens, and only these are served: no request names a path of
the host."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response, StreamingResponse

import banger

BUILT = Path(banger.__file__).parent / "web/assets"
_OWN = Path(__file__).parent / "pages"
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
_PIECE = 64 * 1024
# The page adopts the styles that its terminal writes (ui/src/machine/strict_styles.ts): none is inline.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_OWN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_ROUTES = frozenset(
    {"machines", "images", "kernels", "templates", "snapshots", "networks", "operations", "doctor", "new"}
)


@dataclass(frozen=True)
class Asset:
    """A file: its bytes by encoding, "" for the plain ones."""

    media: str
    policy: str
    for_ever: bool
    bodies: Mapping[str, bytes]


class Assets:
    """The files by the paths of their URLs."""

    def __init__(self) -> None:
        self._files: dict[str, Asset] = {}
        self.has_page = False

    def read(self, built: Path = BUILT) -> None:
        """Read all files again. Blocking."""
        files = _read(_OWN, _OWN_POLICY)
        files["/login"] = files.pop("/login.html")
        unbuilt = files.pop("/unbuilt.html")
        theirs = _read(built, _PAGE_POLICY)
        self.has_page = "/index.html" in theirs
        self._files = {**theirs, **files, "/": theirs.get("/index.html", unbuilt)}

    def answer(self, path: str, accepted: str) -> Response | None:
        """The file at a path, in an encoding that the client accepts; for a place within the page, the page."""
        asset = self._files.get(path)
        if asset is None and _is_place(path):
            asset = self._files.get("/")
        return _answered(asset, accepted) if asset is not None else None


def _is_place(path: str) -> bool:
    first, _, _ = path.removeprefix("/").partition("/")
    return first in _ROUTES or "." not in path


def _read(directory: Path, policy: str) -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in _ENCODINGS.values() or not path.is_file():
            continue
        url = "/" + path.relative_to(directory).as_posix()
        bodies = {"": path.read_bytes()}
        for encoding, ending in _ENCODINGS.items():
            packed = path.with_name(path.name + ending)
            if packed.is_file():
                bodies[encoding] = packed.read_bytes()
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[url] = Asset(media, policy, url.startswith("/assets/"), bodies)
    return found


def _answered(asset: Asset, accepted: str) -> Response:
    offered = {word.partition(";")[0].strip() for word in accepted.split(",") if "q=0" not in word}
    encoding = next((one for one in _ENCODINGS if one in offered and one in asset.bodies), "")
    body = asset.bodies[encoding]
    headers = {
        "Content-Length": str(len(body)),
        "Content-Security-Policy": asset.policy,
        "Cache-Control": "public, max-age=31536000, immutable" if asset.for_ever else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if encoding:
        headers["Content-Encoding"] = encoding
    return StreamingResponse(_pieces(body), media_type=asset.media, headers=headers)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    """A client that does not read holds one piece of it, not all."""
    for at in range(0, len(body), _PIECE):
        yield body[at : at + _PIECE]
