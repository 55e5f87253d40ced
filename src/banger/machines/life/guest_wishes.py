"""What a user wants of the guest beside its command, as Docker writes it: tmpfs, and limits of processes.

Pure: from the text of a spec to what the agent is told.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable, Iterator

from banger.agent.connection import FieldList
from banger.errors import Error
from banger.model.machine import MachineSpec
from banger.wire.constants import Tag

# The flags of mount(2); of Linux, and not of this host's C library.
_FLAGS = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "sync": 16,
    "dirsync": 128,
    "noatime": 1024,
    "nodiratime": 2048,
    "strictatime": 1 << 24,
}
_CLEARED = {
    "rw": "ro",
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "async": "sync",
    "atime": "noatime",
}
# As in Docker, unless the options say otherwise.
_USUAL = ("nosuid", "nodev", "noexec")
_OPTION = re.compile(
    r"(size|nr_blocks|nr_inodes)=[0-9]{1,18}[kKmMgG%]?b?|mode=[0-7]{1,4}|(uid|gid)=[0-9]{1,10}"
)
_PATH_LIMIT = 4096
_NEVER = ("/", "/dev", "/proc", "/sys")

_LIMITS = {
    name.removeprefix("RLIMIT_").lower(): int(number)
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"
} | {"locks": 10}
_UNLIMITED = (1 << 64) - 1


def check_wishes(spec: MachineSpec) -> None:
    """Raises `bad_spec`."""
    if (spec.read_only or spec.tmpfs) and spec.init == "image":
        what = "a read-only root" if spec.read_only else "a tmpfs"
        raise Error(
            "bad_spec",
            f"the image's own init mounts its file systems itself: {what} is only for machines with banger's init",
            "leave out --init image; or write the mount into the image's /etc/fstab",
        )
    list(plan_mounts(spec))
    list(plan_limits_of_processes(spec.ulimits))


def plan_mounts(spec: MachineSpec) -> FieldList:
    """The fields of CONFIGURE for the mounts of the spec."""
    for text in spec.tmpfs:
        yield Tag.TMPFS, _plan_tmpfs(text)
    if spec.read_only:
        yield Tag.PROTECT_ROOT, 1


def _plan_tmpfs(text: str) -> bytes:
    """ "/run:size=64m,exec" as the agent is told it."""
    path, _, options = text.partition(":")
    path = "/" + path.strip("/") if path.startswith("/") else path
    if not path.startswith("/") or "\0" in path or len(path.encode("utf-8", "replace")) > _PATH_LIMIT:
        raise _refuse(text, "it needs an absolute path", "write PATH or PATH:OPTIONS, such as /run:size=64m")
    if path in _NEVER or ".." in path.split("/"):
        raise _refuse(text, "no tmpfs can be there", "choose a directory below")
    flags, kept = set(_USUAL), []
    for option in filter(None, options.split(",")):
        if option in _FLAGS:
            flags.add(option)
        elif option in _CLEARED:
            flags.discard(_CLEARED[option])
        elif _OPTION.fullmatch(option):
            kept.append(option.removesuffix("b") if option.startswith("size=") else option)
        elif option not in ("relatime", "defaults"):
            known = ", ".join([*_FLAGS, *_CLEARED])
            raise _refuse(
                text,
                f"the option {option!r} is not known",
                f"options: size=, mode=, uid=, gid=, nr_inodes=, {known}",
            )
    if not any(option.startswith("mode=") for option in kept):
        kept.append("mode=1777")
    return b"%d %b %b" % (sum(_FLAGS[name] for name in flags), ",".join(kept).encode(), path.encode())


def plan_limits_of_processes(ulimits: Iterable[str]) -> Iterator[bytes]:
    """ "nofile=64:128" as the agent is told it: a number, and two limits."""
    for text in ulimits:
        name, equals, values = text.partition("=")
        soft, colon, hard = values.partition(":")
        if name not in _LIMITS or not equals:
            raise _refuse_limit(text, f"write NAME=SOFT[:HARD]; names: {', '.join(sorted(_LIMITS))}")
        low, high = _limit(text, soft), _limit(text, hard if colon else soft)
        if low > high:
            raise _refuse_limit(text, "the first number, the soft limit, is at most the second one")
        yield b"%d %d %d" % (_LIMITS[name], low, high)


def _limit(text: str, value: str) -> int:
    if value in ("-1", "unlimited"):
        return _UNLIMITED
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise _refuse_limit(text, "a limit is a whole number, or -1 for none")
    return int(value)


def _refuse(text: str, why: str, hint: str) -> Error:
    return Error("bad_spec", f"the tmpfs {text[:100]!r} cannot be made: {why}", hint)


def _refuse_limit(text: str, hint: str) -> Error:
    return Error("bad_spec", f"the limit {text[:100]!r} is not understood", hint)
