"""What commands and files answer, in E2B's shape."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from banger.client.guest_files import FileEntry


class FileType(Enum):
    FILE = "file"
    DIR = "dir"


@dataclass
class EntryInfo:
    """A file of a sandbox. `type` is None for what is neither file nor directory."""

    name: str
    type: FileType | None
    path: str


@dataclass
class CommandResult:
    """A command that ended with exit code 0."""

    stderr: str = ""
    stdout: str = ""
    exit_code: int = 0
    error: str | None = None


def entry_of(entry: FileEntry) -> EntryInfo:
    return EntryInfo(entry.name, kind_of(entry.type), entry.path)


def kind_of(kind: str) -> FileType | None:
    return {"file": FileType.FILE, "directory": FileType.DIR}.get(kind)
