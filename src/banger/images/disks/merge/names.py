"""Names of entries: made harmless where that does not change their meaning, refused if they lead out of the tree.

A path here is relative to the root, without "." and "..", without slashes at its ends; b"" is the root itself.
"""

from __future__ import annotations

from banger.tar.failure import Refused

COMPONENT_BYTES = 255
PATH_BYTES = 4096
WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."


def normalise(name: bytes) -> bytes:
    """As in umoci and Docker, a leading "/" or "./" means nothing, and "a/../b" is "b". Raises `Refused` for a name
    that climbs above the root or that no disk can hold."""
    if name.startswith(b"./"):
        name = name[2:]
    if b"/." in name or b"//" in name or not name or name[0] in b"./" or name[-1] == 0x2F:
        name = _clean(name)
    if len(name) > COMPONENT_BYTES:
        _check_lengths(name)
    return name


def normalise_target(target: bytes) -> bytes:
    """As `normalise`, for the target of a hard link."""
    try:
        return normalise(target)
    except Refused as exc:
        raise Refused(f"it is a hard link whose target is not possible: {exc.what}") from exc


def _clean(name: bytes) -> bytes:
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise Refused("its name leads out of the image")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _check_lengths(path: bytes) -> None:
    if len(path) > PATH_BYTES:
        raise Refused(f"its name has more than {PATH_BYTES} bytes")
    if max(map(len, path.split(b"/"))) > COMPONENT_BYTES:
        raise Refused(f"a part of its name has more than {COMPONENT_BYTES} bytes")


class Whiteout:
    """The meaning of a name with ".wh." in it: lower layers' `path` is hidden, or with `opaque`, their contents of that
    directory. `path` None: no meaning, an internal file of aufs."""

    __slots__ = ("opaque", "path")

    def __init__(self, path: bytes | None, opaque: bool = False) -> None:
        self.path = path
        self.opaque = opaque


def parse_whiteout(path: bytes) -> Whiteout | None:
    """None for a name that merely contains ".wh." somewhere. Source: OCI image-spec layer.md, "Whiteouts"."""
    *above, name = path.split(b"/")
    directory = b"/".join(above)
    if any(part.startswith(_AUFS) for part in above) or (name.startswith(_AUFS) and name != OPAQUE):
        return Whiteout(None)
    if any(part.startswith(WHITEOUT) for part in above):
        raise Refused("it lies below a whiteout")
    if name == OPAQUE:
        return Whiteout(directory, opaque=True)
    if not name.startswith(WHITEOUT):
        return None
    hidden = name[len(WHITEOUT) :]
    if hidden in (b"", b".", b".."):
        raise Refused("it is a whiteout that names no file")
    return Whiteout(directory + b"/" + hidden if above else hidden)
