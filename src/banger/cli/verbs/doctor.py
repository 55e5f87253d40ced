"""`doctor`: check whether this host can run machines. The doctor is a program of its own."""

from __future__ import annotations

from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client.start import become_doctor
from banger.client.way import refuse_elsewhere


def _options(parser: Parser) -> None:
    parser.flag(
        "--fix",
        action="store_true",
        help="apply the fixes that need no root and remove nothing; print a script with the rest",
    )
    parser.flag("-v", "--verbose", action="store_true", help="print all checks, not only what is wrong")
    parser.flag("--strict", action="store_true", help="end with exit code 1 for warnings, too")
    parser.flag(
        "--check", action="append", default=[], metavar="NAME", help="run only this check; may be repeated"
    )
    json_flag(parser)


def _doctor(arguments: Arguments) -> int:
    refuse_elsewhere("the doctor examines this host")
    flags = [f"--{name}" for name in ("json", "fix", "strict", "verbose") if getattr(arguments, name)]
    become_doctor([*flags, *(word for name in arguments.check for word in ("--check", name))])


_EXAMPLES = """\
banger doctor
banger doctor -v
banger doctor --check trial --check store
banger doctor --fix"""

DOCTOR = Verb(_options, _doctor, _EXAMPLES)
