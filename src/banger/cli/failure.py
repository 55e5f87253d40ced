"""How the command line reports an error: one line, a hint, an exit code."""

from __future__ import annotations

import sys

from banger.cli.output import json_text, printable
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
# As in docs/errors.md: banger failed, the command cannot be executed, the command was not found.
OURS = (125, 126, 127)


def report(error: Error, as_json: bool = False) -> int:
    """Write the error to stderr. Returns its exit code."""
    if as_json:
        _say(json_text({"error": error.as_dict()}))
    else:
        if "at" in error.details:
            from banger.cli.complaint import reword

            error = reword(error)
        _say(_folded(f"banger: {printable(error.message)}"))
        if error.hint:
            hint = f"hint: {printable(error.hint)}"
            _say(
                hint if hint.startswith("hint: banger ") else _folded(hint)
            )  # a command stays whole, to be copied
        for line in _console(error):
            _say(f"console: {printable(line)}")
    return error.exit_code


def for_each(names: Iterable[str], action: Callable[[str], None], as_json: bool = False) -> int:
    """Do `action` for each name. An error is reported, and the next names have their turn. Returns the worst exit
    code."""
    code = 0
    for name in names:
        try:
            action(name)
        except Error as exc:
            code = max(code, report(exc, as_json))
    return code


def _console(error: Error) -> list[str]:
    """The last lines on the console of a guest that did not start."""
    lines = error.details.get("console")
    return [str(line) for line in lines] if isinstance(lines, list) else []


def report_unexpected(exc: Exception, as_json: bool = False) -> int:
    """Report an exception that no other code handled, as `internal`."""
    message = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return report(Error("internal", message, "run the command with --debug to see the traceback"), as_json)


def report_usage(message: str, usage: str, as_json: bool = False, hint: str = "") -> int:
    """Report wrong words. `usage` is what explains them with --help; it is the hint if there is no better one."""
    report(Error("bad_request", message, hint or f"{usage} --help"), as_json)
    return USAGE


def say_whose(code: int) -> None:
    """Warn if the exit code of a command equals one of banger's own: for banger's, there is an error."""
    if code in OURS:
        warn(f"exit code {code} comes from the command, not from banger")


def warn(message: str) -> None:
    _say(_folded(f"banger: {printable(message)}"))


def _folded(text: str) -> str:
    """The text in lines that fit the terminal; unchanged where stderr is none."""
    from banger.cli.terminal import fold, is_terminal, terminal_size

    return fold(text, terminal_size(2)[1] - 1) if is_terminal(2) else text


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return
