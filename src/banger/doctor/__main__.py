"""`python -m banger.doctor`: the program behind `banger doctor`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import msgspec

from banger.doctor.check import Mend, in_thread
from banger.doctor.checks import CHECKS
from banger.doctor.examination import examine
from banger.doctor.host import Host
from banger.doctor.rendering import exit_code, render, render_script
from banger.errors import Error
from banger.model.doctor import Diagnosis
from banger.model.shown import json_text, printable

_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main() -> None:
    try:
        asyncio.run(_run(_parse()))
    except KeyboardInterrupt:
        _leave(_INTERRUPTED)
    except BrokenPipeError:
        _leave(_BROKEN_PIPE)


async def _run(arguments: argparse.Namespace) -> None:
    """Ends the process itself: a check that hangs would delay the end of the loop."""
    chosen = [check for check in CHECKS if not arguments.check or check.name in arguments.check]
    diagnosis, mends, host = await examine(chosen)
    if arguments.fix:
        done = await in_thread(partial(_mend, mends, host))
        diagnosis, mends, _ = await examine(chosen)
        diagnosis.done = done
        diagnosis.script = render_script(mends)
    if arguments.json:
        print(json_text(msgspec.to_builtins(diagnosis), indent=2))
    elif arguments.fix:
        _print_mended(diagnosis)
    else:
        print(render(diagnosis, whole=arguments.verbose or bool(arguments.check)))
    _leave(exit_code(diagnosis, strict=arguments.strict))


def _parse() -> argparse.Namespace:
    names = [check.name for check in CHECKS]
    parser = argparse.ArgumentParser(prog="banger doctor", allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--fix", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--check", action="append", choices=names, default=[], metavar="NAME")
    return parser.parse_args()


def _mend(mends: Sequence[Mend], host: Host) -> list[str]:
    """What --fix does by itself: it needs no root and removes nothing. A line for each attempt, in the order of the
    checks."""
    done = []
    for mend in mends:
        if mend.act is not None:
            try:
                done.append(mend.act(host))
            except (Error, OSError) as exc:
                done.append(f"failed: {mend.command}: {exc}")
    return done


def _print_mended(diagnosis: Diagnosis) -> None:
    """The script alone goes to stdout, so that a user can save it or pipe it."""
    for line in diagnosis.done:
        print(f"done     {printable(line)}", file=sys.stderr)
    print(render(diagnosis), file=sys.stderr)
    print(diagnosis.script, end="")


def _leave(code: int) -> NoReturn:
    """End at once, without waiting for threads of checks that hang."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = _BROKEN_PIPE
    os._exit(code)


if __name__ == "__main__":
    main()
