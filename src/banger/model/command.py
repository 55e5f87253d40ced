"""A command to run in a guest, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, field

from banger.model.octets import PATTERN

# As many as the kernel takes: an argument and the pointer to it have ten bytes at least, all of them two megabytes.
ARGUMENTS_MAX = 1 << 18
Bytes = Annotated[str, Meta(pattern=PATTERN)]
Rows = Annotated[int, Meta(ge=0, le=65535)]


class Command(Struct, kw_only=True, forbid_unknown_fields=True):
    """A command, in Docker's terms. An empty `argv` means the user's login shell. `entrypoint` None means the
    entrypoint of the image; only a main command has an entrypoint. `timeout_s` 0 means no time limit. Bytes that are
    not UTF-8 are written as `model.octets` says."""

    entrypoint: Annotated[list[Bytes], Meta(max_length=ARGUMENTS_MAX)] | None = None
    argv: Annotated[list[Bytes], Meta(max_length=ARGUMENTS_MAX)] = []
    env: dict[Bytes, Bytes] = {}
    cwd: Bytes = ""
    user: Bytes = ""
    tty: bool = False
    stdin: bool = False
    rows: Rows = 24
    cols: Rows = 80
    timeout_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0


class Surroundings(Struct, kw_only=True, frozen=True):
    """What commands of a machine get from its image, unless the user says otherwise: variables, directory, user. Empty
    means that the image does not say."""

    env: Mapping[str, str] = {}
    cwd: str = ""
    user: str = ""


class Exit(Struct, kw_only=True):
    """How a command ended. `code` is the exit code, as a shell reports it: 128+N for signal N, 124 for a time-out."""

    code: int
    signal: int = 0
    timed_out: bool = False


class Exec(Struct, kw_only=True):
    """A command in a machine, running or ended. `main` says that the machine ends with this command, `tty` that the
    command has a terminal, and `stdin` that it has an open stdin."""

    id: int
    argv: list[str] = []
    pid: int = 0
    running: bool = True
    exit: Exit | None = None
    started: str = ""
    detached: bool = False
    main: bool = False
    tty: bool = False
    stdin: bool = False


class ExecRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """First message of an exec stream, and the body of a detached exec."""

    command: Command = field(default_factory=Command)
