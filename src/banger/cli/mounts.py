"""What `-v` and `--mount` say, as Docker writes them."""

from __future__ import annotations

import os
import re

from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from banger.client.call import Facts

_LABELS = {"z", "Z"}
# Of Docker's options: what a machine has anyway, or cannot have.
_MEANT_ANYWAY = {"rw", "cached", "delegated", "consistent", "rprivate", "private"}
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_NAME_HINT = "name a volume, -v data:/data, or a directory of this host, -v ./data:/data"
_FORM = 'write it like "data:/data", "./src:/src" or "./src:/src:ro"'
_MOUNT_FORM = (
    'write it like "type=bind,source=./src,target=/src,readonly" or "type=volume,source=data,target=/data"'
)
_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_TMPFS_FORM = 'write it like "type=tmpfs,target=/cache,tmpfs-size=64m,tmpfs-mode=0700"'
_SIZE = re.compile(r"([0-9]{1,18})([kmg]?)i?b?", re.IGNORECASE)
_MODE = re.compile(r"[0-7]{1,4}")
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def read_volumes(words: Iterable[str], notes: list[str]) -> list[Facts]:
    """Mounts from SOURCE:TARGET[:OPTIONS]: of a directory if it has a `source`, of a volume if it has a `volume`. What
    means nothing here is noted. Raises `bad_spec`."""
    return [_read_volume(word, notes) for word in words]


def _read_volume(word: str, notes: list[str]) -> Facts:
    source, *rest = word.split(":")
    if not rest and word.startswith("/"):
        raise Error("bad_spec", f"banger has no -v of a volume without a name: {word}", _NAME_HINT)
    if len(rest) not in (1, 2) or not source or not rest[0]:
        raise Error("bad_spec", f"-v {word!r} is not SOURCE:TARGET", _FORM)
    options = _read_options(rest[1] if len(rest) == 2 else "", word, notes)
    read_only, said = "ro" in options, f"-v {word}"
    if source.startswith((".", "/", "~")) or os.sep in source:
        return _mount(source, rest[0], read_only, said)
    return _volume(source, rest[0], read_only, "nocopy" in options, said)


def _read_options(options: str, word: str, notes: list[str]) -> set[str]:
    given = {option for option in options.split(",") if option}
    if given & _LABELS:
        notes.append(f"-v {word}: a label of SELinux means nothing here: the machine has a kernel of its own")
    if unknown := given - _LABELS - _MEANT_ANYWAY - {"ro", "nocopy"}:
        raise Error("bad_spec", f"-v {word}: unknown option {min(unknown)!r}", _FORM)
    return given


def read_mounts(words: Iterable[str]) -> tuple[list[Facts], list[str]]:
    """Mounts from type=bind,source=...,target=...[,readonly], and what --tmpfs would be given for type=tmpfs. Raises
    `bad_spec`."""
    given = [(word, _read_keys(word)) for word in words]
    tmpfs = [_read_tmpfs(word, keys) for word, keys in given if keys.get("type") == "tmpfs"]
    return [_read_mount(word, keys) for word, keys in given if keys.get("type") != "tmpfs"], tmpfs


def _read_keys(word: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in word.split(","):
        key, equals, value = part.partition("=")
        given[_KEYS.get(key, key)] = value if equals else "true"
    return given


def _read_tmpfs(word: str, given: dict[str, str]) -> str:
    said = f"--mount {word}"
    target, size, mode = (given.get(key, "") for key in ("target", "tmpfs-size", "tmpfs-mode"))
    read_only = given.get("readonly", "false")
    unknown = given.keys() - {"type", "target", "tmpfs-size", "tmpfs-mode", "readonly", "consistency"}
    if unknown or read_only not in (*_TRUE, *_FALSE):
        raise Error("bad_spec", f"{said}: unknown option {min(unknown, default='readonly')!r}", _TMPFS_FORM)
    if not target.startswith("/") or ":" in target:
        raise Error(
            "bad_spec", f"{said}: the target {target!r} is not an absolute path without colons", _TMPFS_FORM
        )
    options = ["ro"] if read_only in _TRUE else []
    if size:
        measure = _SIZE.fullmatch(size)
        if measure is None:
            raise Error("bad_spec", f"{said}: {size!r} is not a size", _TMPFS_FORM)
        options.append(f"size={measure[1]}{measure[2].lower()}")
    if mode:
        if not _MODE.fullmatch(mode):
            raise Error("bad_spec", f"{said}: {mode!r} is not a mode in octal", _TMPFS_FORM)
        options.append(f"mode={mode}")
    return ":".join([target, *([",".join(options)] if options else [])])


def _read_mount(word: str, given: dict[str, str]) -> Facts:
    kind = given.pop("type", "volume")
    if kind not in ("bind", "volume"):
        raise Error(
            "bad_spec",
            f"banger has no --mount of type {kind}: {word}",
            "type=bind shares a directory of this host, type=volume is a volume, type=tmpfs is in the machine's memory",
        )
    read_only = given.pop("readonly", "false")
    given.pop("bind-propagation", None)
    given.pop("consistency", None)
    source, target = given.pop("source", ""), given.pop("target", "")
    no_copy = given.pop("volume-nocopy", "false") in _TRUE if kind == "volume" else False
    if given or read_only not in (*_TRUE, *_FALSE):
        raise Error(
            "bad_spec", f"--mount {word}: unknown option {next(iter(given), 'readonly')!r}", _MOUNT_FORM
        )
    if not source or not target:
        raise Error("bad_spec", f"--mount {word} lacks {'target' if source else 'source'}=", _MOUNT_FORM)
    said = f"--mount {word}"
    if kind == "volume":
        return _volume(source, target, read_only in _TRUE, no_copy, said)
    return _mount(source, target, read_only in _TRUE, said)


def _volume(name: str, target: str, read_only: bool, no_copy: bool, said: str) -> Facts:
    if not _NAME.fullmatch(name):
        raise Error("bad_spec", f"{said}: {name!r} cannot be the name of a volume", _NAME_HINT)
    if not target.startswith("/"):
        raise Error("bad_spec", f"{said}: the target {target!r} is not an absolute path", _FORM)
    flags = {"read_only": read_only, "no_copy": no_copy}
    return {"volume": name, "target": target, **{flag: True for flag, given in flags.items() if given}}


def _mount(source: str, target: str, read_only: bool, said: str) -> Facts:
    if not target.startswith("/"):
        raise Error("bad_spec", f"{said}: the target {target!r} is not an absolute path", _FORM)
    return {"source": os.path.abspath(os.path.expanduser(source)), "target": target, "read_only": read_only}
