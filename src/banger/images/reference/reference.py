"""Image references as Docker writes them, and the other places an image can be read from. Pure: no I/O.

    debian                          docker.io/library/debian:latest
    localhost:5000/team/app:1.2     another registry
    app@sha256:<64 hex digits>      by content; a tag beside it is kept, the digest decides
    oci:DIR[:TAG]                   an OCI image layout
    oci-archive:FILE[:TAG]          the same in a tar file
    docker-archive:FILE[:REF|:@N]   what `docker save` writes; REF or the Nth image of several
    tar:FILE  and  -                one tree as one layer, from a file or from standard input
    docker://REF                    what other tools write for REF

Grammar: the reference grammar of github.com/distribution/reference. As in skopeo, the path of `oci:` and
its like ends at the first colon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from banger.errors import Error

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
# The default registry's name in references is neither the host of its API nor the key of its credentials.
DEFAULT_REGISTRY_API = "registry-1.docker.io"
DEFAULT_REGISTRY_KEY = "https://index.docker.io/v1/"
_DEFAULT_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_OFFICIAL = "library/"

MAX_NAME = 255
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """`tag` is empty only where there is a `digest` ("sha256:" and 64 hex digits); `digest` may be empty."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def canonical(self) -> str:
        """The long form: "docker.io/library/debian:bookworm"."""
        return f"{self.registry}/{self.repository}{self._suffix()}"

    @property
    def familiar(self) -> str:
        """The form that people write: "debian:bookworm". It parses to the same reference."""
        if self.registry != DEFAULT_REGISTRY:
            return self.canonical
        short = self.repository.removeprefix(_OFFICIAL)
        if "/" in short:
            return (
                self.canonical
                if _is_registry(self.repository.partition("/")[0])
                else self.repository + self._suffix()
            )
        return short + self._suffix()

    @property
    def version(self) -> str:
        """The version for requests to the registry: the digest if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def api_host(self) -> str:
        return api_host(self.registry)

    def with_digest(self, digest: str) -> Reference:
        return replace(self, digest=digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True)
class OciLayout:
    """A directory. `tag` may be empty if it contains one image."""

    path: str
    tag: str = ""


@dataclass(frozen=True)
class OciArchive:
    path: str
    tag: str = ""


@dataclass(frozen=True)
class DockerArchive:
    """`image` is a reference, "@N", or empty if the archive contains one image."""

    path: str
    image: str = ""


@dataclass(frozen=True)
class TarFile:
    path: str


@dataclass(frozen=True)
class StandardInput:
    """The bytes that come with the request."""


SourceRef = Reference | OciLayout | OciArchive | DockerArchive | TarFile | StandardInput
PATH_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "tar:")
_DOCKER = "docker://"
# Transports of other tools that banger lacks, and what to do instead.
_ELSEWHERE = {
    "docker-daemon:": "docker save IMAGE | banger image pull --name NAME -",
    "containers-storage:": "podman save IMAGE | banger image pull --name NAME -",
    "podman:": "podman save IMAGE | banger image pull --name NAME -",
    "dir:/": "make a layout with skopeo copy dir:/path oci:/other, and pull oci:/other",
    "file:/": "write tar:/path, docker-archive:/path, oci-archive:/path or oci:/path",
    "sif:": "make a directory with apptainer build --sandbox DIR, and pull rootfs:DIR",
    "ostree:": "make a layout with skopeo copy, and pull oci:/path",
    "http://": "write an image without http://, as registry.lan:5000/app; download a file first",
    "https://": "write an image without https://, as registry.lan/app; download a file first",
    "oci://": "write an image of a registry as registry.lan/app, and a layout as oci:/path",
}


def parse_reference(text: str) -> Reference:
    """Raises `bad_reference`."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _refuse(text, "after @, sha256: and 64 hexadecimal digits must follow")
    registry, name = _split_registry(rest)
    repository, colon, tag = name.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _refuse(text, f"{tag!r} is not a tag")
    registry, repository = _normalize(registry, repository)
    _check_name(text, registry, repository)
    return Reference(registry, repository, tag or ("" if digest else DEFAULT_TAG), digest)


def parse_registry(text: str) -> str:
    """The name of a registry, as `login` takes it: "host", "host:port" or a URL of it. Raises `bad_reference`."""
    host = re.sub(r"^https?://", "", text).rstrip("/").removesuffix("/v1").removesuffix("/v2")
    if not _REGISTRY.fullmatch(host):
        raise _refuse(text, "a registry has the form host or host:port")
    return DEFAULT_REGISTRY if host in _DEFAULT_ALIASES else host


def parse_source(text: str) -> SourceRef:
    """Any place from which an image can come. Paths are not checked. Raises `bad_reference`."""
    if text == "-":
        return StandardInput()
    elsewhere = next((known for known in _ELSEWHERE if text.lower().startswith(known)), None)
    if elsewhere is not None:
        raise Error(
            "bad_reference", f"{text[:300]!r} is not a source that banger reads", _ELSEWHERE[elsewhere]
        )
    if text.startswith(_DOCKER):
        return parse_reference(text.removeprefix(_DOCKER))
    transport = next((known for known in PATH_TRANSPORTS if text.startswith(known)), None)
    if transport is None:
        return parse_reference(text)
    return _parse_path(text, transport)


def format_source(source: SourceRef) -> str:
    """The inverse of `parse_source`; references get their familiar form."""
    match source:
        case Reference():
            return source.canonical if source.familiar.startswith(PATH_TRANSPORTS) else source.familiar
        case StandardInput():
            return "-"
        case TarFile(path):
            return f"tar:{path}"
        case OciLayout(path, tag):
            return f"oci:{path}" + (f":{tag}" if tag else "")
        case OciArchive(path, tag):
            return f"oci-archive:{path}" + (f":{tag}" if tag else "")
        case DockerArchive(path, image):
            return f"docker-archive:{path}" + (f":{image}" if image else "")


def check_digest(text: str) -> str:
    """The digest itself, if it is a sha256 digest. Raises `image_invalid`: documents of others contain digests."""
    if not _DIGEST.fullmatch(text):
        raise Error("image_invalid", f"{text[:100]!r} is not a sha256 digest", "use a sha256 digest")
    return text


def api_host(registry: str) -> str:
    """The host (and port) of a registry's API."""
    return DEFAULT_REGISTRY_API if registry == DEFAULT_REGISTRY else registry


def _parse_path(text: str, transport: str) -> SourceRef:
    rest = text.removeprefix(transport)
    path, _, name = rest.partition(":")
    if not rest or not path or "\0" in rest:
        raise _refuse(text, f"after {transport}, a path must follow")
    match transport:
        case "oci:":
            return OciLayout(path, name)
        case "oci-archive:":
            return OciArchive(path, name)
        case "docker-archive:":
            return DockerArchive(path, name)
    return TarFile(rest)


def _split_registry(text: str) -> tuple[str, str]:
    """The first component is a registry if it cannot be a repository: if it has a dot, a colon or an upper-case letter,
    or is "localhost"."""
    first, slash, rest = text.partition("/")
    return (first, rest) if slash and _is_registry(first) else (DEFAULT_REGISTRY, text)


def _is_registry(component: str) -> bool:
    return component == "localhost" or not {".", ":"}.isdisjoint(component) or component != component.lower()


def _normalize(registry: str, repository: str) -> tuple[str, str]:
    if registry not in _DEFAULT_ALIASES:
        return registry, repository
    return DEFAULT_REGISTRY, repository if "/" in repository else _OFFICIAL + repository


def _check_name(text: str, registry: str, repository: str) -> None:
    if not _REGISTRY.fullmatch(registry):
        raise _refuse(text, f"{registry!r} is not a registry")
    if not _REPOSITORY.fullmatch(repository):
        lower = _REPOSITORY.fullmatch(repository.lower())
        raise _refuse(
            text, "names of repositories are lower case" if lower else f"{repository!r} is not a repository"
        )
    if len(registry) + 1 + len(repository) > MAX_NAME:
        raise _refuse(text, f"it is longer than {MAX_NAME} characters")
    if _HEX.fullmatch(repository.removeprefix(_OFFICIAL)):
        raise _refuse(text, "64 hexadecimal digits are an id, not a name; write a digest as NAME@sha256:...")


def _refuse(text: str, reason: str) -> Error:
    return Error(
        "bad_reference",
        f"bad image reference {text[:300]!r}: {reason}",
        "use something like debian:bookworm, registry.lan:5000/app:1.0, or oci:/path",
    )
