"""A guest's command from the options that run, create and exec share."""

from __future__ import annotations

import os

from banger.cli.detaching import default_keys, parse_keys
from banger.cli.parser import Arguments, Parser, seconds, worded
from banger.cli.terminal import Terminal, is_terminal, terminal_size
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from banger.client.call import Facts


def command_options(parser: Parser, env_file: bool = True) -> None:
    """-e, --env-file (unless the option means something else there), -w, -u, -i, -t, --timeout."""
    parser.flag(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="K[=V]",
        help="set a variable, or pass on its value from here",
    )
    if env_file:
        parser.flag(
            "--env-file",
            action="append",
            default=[],
            metavar="FILE",
            help="set the variables that FILE lists",
        )
    parser.flag("-w", "--workdir", default="", metavar="DIR", help="working directory of the command")
    parser.flag("-u", "--user", default="", metavar="USER[:GROUP]", help="run the command as this user")
    parser.flag("-i", "--interactive", action="store_true", help="pass stdin to the command")
    parser.flag("-t", "--tty", action="store_true", help="run the command on a new terminal")
    parser.flag(
        "--timeout",
        type=seconds,
        default=0.0,
        metavar="TIME",
        help="kill the command after this time (exit code 124)",
    )


def detach_option(parser: Parser) -> None:
    """Add --detach-keys, for verbs that may give a terminal to the guest."""
    parser.flag(
        "--detach-keys",
        type=worded(parse_keys),
        default=default_keys(),
        metavar="KEYS",
        help="keys that detach and leave the command running (default: ctrl-^,ctrl-q)",
    )


def exec_arguments(parser: Parser, target: str, help_: str, env_file: bool = True) -> None:
    """The arguments of verbs that run one more command: options, the word for where it runs, the command."""
    command_options(parser, env_file)
    parser.flag(
        "-d", "--detach", action="store_true", help="print the command's number and leave the command running"
    )
    detach_option(parser)
    parser.positional(target, metavar=target.upper(), help=help_)
    parser.positional(
        "command",
        metavar="[--] CMD",
        nargs="*",
        default=[],
        help="command to run (default: the user's login shell)",
    )


def imply_terminal(arguments: Arguments) -> None:
    """Without a command, at a terminal, imply -i and -t, as for a shell."""
    if not arguments.command and is_terminal(0) and is_terminal(1):
        arguments.interactive = arguments.tty = True


def prepare_command(arguments: Arguments) -> Facts:
    """The Command of the API."""
    rows, cols = terminal_size(_window(arguments.tty))
    return {
        "argv": arguments.command,
        "env": collect_environment(arguments.env_file, arguments.env, os.environ),
        "cwd": arguments.workdir,
        "user": arguments.user,
        "tty": arguments.tty,
        "stdin": arguments.interactive,
        "rows": rows,
        "cols": cols,
        "timeout_s": arguments.timeout,
    }


def own_terminal(arguments: Arguments) -> Terminal | None:
    """Our terminal, if its keys go to the guest's terminal."""
    return Terminal(0) if arguments.tty and arguments.interactive and is_terminal(0) else None


def _window(tty: bool) -> int:
    return next((fd for fd in (0, 1, 2) if is_terminal(fd)), 0) if tty else -1


def collect_environment(files: Iterable[str], pairs: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """`-e K=V`, `-e K` and `--env-file F`, with Docker's meaning: files first, then pairs, and the last value of a
    name counts. A name alone takes its value from `own`, or is left out if `own` has none."""
    result: dict[str, str] = {}
    for path in files:
        for line in _read_lines(path):
            _add(result, line, own)
    for pair in pairs:
        _add(result, pair, own)
    return result


def _add(result: dict[str, str], pair: str, own: Mapping[str, str]) -> None:
    name, equals, value = pair.partition("=")
    if not name or "\0" in pair:
        raise Error("bad_request", f"bad environment variable {pair!r}", "write it like NAME=value")
    if equals:
        result[name] = value
    elif name in own:
        result[name] = own[name]


def _read_lines(path: str) -> list[str]:
    """The lines that are neither empty nor comments, without blanks before the name."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\r\n").lstrip() for line in file]
    except OSError as exc:
        raise Error("bad_request", f"cannot read {path}: {exc.strerror}") from exc
    return [line for line in lines if line and not line.startswith("#")]
