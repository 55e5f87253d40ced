"""The entry point `banger`. Imports nothing before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    forget_working_directory()
    if sys.getfilesystemencoding() != "utf-8":
        from banger.client.start import begin_in_utf_8

        begin_in_utf_8()
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("--version", "-V"):
        from banger import __version__

        leave(_print(f"banger {__version__}"))
    try:
        from banger.cli.dispatch import dispatch

        leave(dispatch(arguments))
    except KeyboardInterrupt:
        leave(130)


def forget_working_directory() -> None:
    """Keep Python from loading modules from the working directory: it does so if it was started with -m or -c, or if
    PYTHONPATH has an empty entry. If this package itself is there, it stays."""
    import os

    try:
        here = os.getcwd()
    except OSError:
        here = ""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if here not in (root, *named):
        sys.path[:] = [place for place in sys.path if place not in ("", ".", here)]


def leave(code: int) -> None:
    """End the process now: flush, and skip the interpreter's own clean-up (2 ms, and its complaints about a closed
    stdout)."""
    import os

    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (OSError, ValueError, AttributeError):
            code = code or 141
    os._exit(code)


def _print(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        return 141
    return 0


if __name__ == "__main__":
    main()
