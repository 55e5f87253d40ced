"""A question before something is lost."""

from __future__ import annotations

import sys

from banger.cli.terminal import is_terminal
from banger.errors import Error


def confirm(question: str, otherwise: str, hint: str) -> None:
    """Raises `cancelled` without a yes, and `bad_request` where there is no terminal to ask on; `otherwise` is the
    message."""
    if not is_terminal(0):
        raise Error("bad_request", f"{otherwise}: there is no terminal to ask on", hint)
    print(f"{question} [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Error("cancelled", otherwise)
