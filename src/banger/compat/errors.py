"""E2B's exceptions, and which of them an error of banger becomes.

SandboxException
├── TimeoutException
├── NotFoundException
└── CommandExitException
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from banger.client.results import CompletedRun
from banger.errors import Error, NoSuchFile, NoSuchImage, NoSuchMachine, TimedOut


class SandboxException(Exception):
    """A failure. Its cause is the error of banger, which has a code and a hint."""


class TimeoutException(SandboxException):
    """Something took longer than it may."""


class NotFoundException(SandboxException):
    """A sandbox, a file or a command does not exist."""


class CommandExitException(SandboxException):
    """A command ended with an exit code other than 0."""

    def __init__(self, run: CompletedRun[str]) -> None:
        super().__init__(f"Command exited with code {run.exit_code} and error:\n{run.stderr}")
        self.stdout = run.stdout
        self.stderr = run.stderr
        self.exit_code = run.exit_code
        self.error: str | None = None


@contextmanager
def translated() -> Iterator[None]:
    """Errors of banger as E2B's exceptions."""
    try:
        yield
    except TimedOut as exc:
        raise TimeoutException(exc.message) from exc
    except (NoSuchMachine, NoSuchFile, NoSuchImage) as exc:
        raise NotFoundException(exc.message) from exc
    except Error as exc:
        raise SandboxException(f"{exc.code}: {exc.message}") from exc
