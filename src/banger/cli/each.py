"""Verbs that take several names: all are tried, the worst exit code is ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from banger.cli.failure import report
from banger.errors import Error


def for_each(names: Iterable[str], action: Callable[[str], None], as_json: bool = False) -> int:
    """Do `action` for each name; an error is reported and the next name's turn comes."""
    code = 0
    for name in names:
        try:
            action(name)
        except Error as exc:
            code = max(code, report(exc, as_json))
    return code
