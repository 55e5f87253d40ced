"""The URLs of a catalog's files, from the URL of its index. Pure.

The query of the index's URL, such as an access token of a bucket, goes to each of them.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from banger.errors import Error

_SUFFIX = ".json"


def index_url(url: str) -> str:
    """The URL of the index: `url` is the URL of the catalog's directory, or of the index itself. Raises
    `bad_request`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "file") or not (parts.netloc or parts.scheme == "file"):
        raise Error(
            "bad_request",
            f"{url[:200]!r} is not the URL of a catalog",
            "use https://HOST/PATH or file:///PATH",
        )
    if parts.path.endswith(_SUFFIX):
        return url
    return parts._replace(path=parts.path.rstrip("/") + "/index.json").geturl()


def signature_url(index: str) -> str:
    """The URL of the signature, beside the index."""
    parts = urlsplit(index)
    return parts._replace(path=parts.path + ".minisig").geturl()


def bundle_url(index: str, digest: str) -> str:
    parts = urlsplit(index)
    return parts._replace(path=urljoin(parts.path, bundle_path(digest))).geturl()


def bundle_path(digest: str) -> str:
    """The path of a bundle, relative to the index."""
    return f"bundles/{digest.removeprefix('sha256:')}.tar.zst"
