"""Verbs that change the state of machines."""

from __future__ import annotations

import signal
from collections.abc import Callable

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import print_json
from banger.cli.parser import Arguments, Parser, Verb, exec_flag, json_flag, seconds, worded
from banger.client import calls
from banger.errors import BadState, Error, NoSuchMachine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call


_LONGEST_GRACE_S = 3600.0


def _names(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names or ids of machines")


def _quiet(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="show no progress and print nothing")
    _names(parser)


def _grace(parser: Parser) -> None:
    parser.flag(
        "-t",
        "--time",
        "--timeout",
        "--grace",
        dest="grace",
        type=worded(_patience),
        metavar="TIME",
        help="time for each step of a clean shutdown before the next, harder step (default: what the machine was made "
        "with, or 10s)",
    )
    _quiet(parser)


def _patience(text: str) -> float:
    """A time of a shutdown; as in Docker -1 means no limit, which is an hour here."""
    return _LONGEST_GRACE_S if text == "-1" else seconds(text)


def _kill_options(parser: Parser) -> None:
    parser.flag(
        "-s",
        "--signal",
        type=worded(signal_number),
        metavar="SIGNAL",
        help="send this signal to the main command instead of killing the machine",
    )
    exec_flag(parser, "send the signal to the command with this number (default: KILL)")
    _names(parser)


def _wait_options(parser: Parser) -> None:
    exec_flag(parser, "wait for the command with this number")
    _names(parser)


def _delete_options(parser: Parser) -> None:
    parser.flag(
        "-f",
        "--force",
        action="store_true",
        help="delete running machines, too; ignore names that do not exist",
    )
    parser.flag("--all", action="store_true", help="delete all machines (requires --force)")
    parser.flag(
        "-v", "--volumes", action="store_true", help="accepted as in Docker: a machine's disk goes with it"
    )
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="*", help="names or ids of machines")


def signal_number(text: str) -> int:
    """ "15", "TERM", "SIGTERM" or "term" as a number. Raises ValueError."""
    if text.isascii() and text.isdigit() and 0 < int(text) <= 64:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name not in signal.Signals.__members__:
        raise ValueError(f"unknown signal {text!r}")
    return int(signal.Signals[name])


def _operate(
    arguments: Arguments, begin: Callable[[str], Call[object]], already: tuple[str, ...] = ()
) -> int:
    """Begin one operation per machine, and wait for its end. A machine that is in one of the states `already` stays as
    it is."""
    from banger.cli.watching import finish_operation

    daemon = Daemon()

    def one(name: str) -> None:
        try:
            ended = finish_operation(daemon, daemon.record(begin(name)), arguments.quiet)
        except BadState:
            ended = daemon.record(calls.machines_get(name))
            if ended.get("state") not in already:
                raise
        if arguments.json:
            print_json(ended)
        elif not arguments.quiet:
            print(name, flush=True)

    return for_each(arguments.names, one, arguments.json)


def _simply(arguments: Arguments, call: Callable[[str], Call[object]]) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        answer = daemon.call(call(name))
        print_json({"name": name} if answer is None else answer) if arguments.json else print(
            name, flush=True
        )

    return for_each(arguments.names, one, arguments.json)


def _start(arguments: Arguments) -> int:
    return _operate(arguments, calls.machines_start, already=("running",))


def _stop(arguments: Arguments) -> int:
    return _operate(
        arguments,
        lambda name: calls.machines_stop(name, arguments.grace),
        already=("stopped", "failed", "created"),
    )


def _restart(arguments: Arguments) -> int:
    return _operate(arguments, lambda name: calls.machines_restart(name, arguments.grace))


def _kill(arguments: Arguments) -> int:
    def call(name: str) -> Call[None]:
        if arguments.exec is None:
            return calls.machines_kill(name, arguments.signal)
        return calls.machines_signal_exec(name, arguments.exec, arguments.signal or signal.SIGKILL)

    return _simply(arguments, call)


def _pause(arguments: Arguments) -> int:
    return _simply(arguments, calls.machines_pause)


def _resume(arguments: Arguments) -> int:
    return _simply(arguments, calls.machines_resume)


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        try:
            daemon.call(calls.machines_delete(name, arguments.force))
        except NoSuchMachine:
            if not arguments.force:
                raise
            return
        print_json({"name": name}) if arguments.json else print(name, flush=True)

    return for_each(_chosen(daemon, arguments), one, arguments.json)


def _chosen(daemon: Daemon, arguments: Arguments) -> list[str]:
    """The machines to delete."""
    if arguments.all == bool(arguments.names):
        raise Error("bad_request", "give either names or --all, and not both")
    if not arguments.all:
        names: list[str] = arguments.names
        return names
    if not arguments.force:
        raise Error("bad_request", "--all deletes every machine", "add --force to delete all of them")
    return [str(machine.get("name")) for machine in daemon.records(calls.machines_list())]


def _wait(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(name: str) -> None:
        if arguments.exec is None:
            ended = daemon.record(calls.machines_wait(name)).get("exit")
        else:
            ended = daemon.record(calls.machines_wait_exec(name, arguments.exec))
        print_json(ended) if arguments.json else print(_exit_code(ended), flush=True)

    return for_each(arguments.names, one, arguments.json)


def _exit_code(ended: object) -> str:
    """The exit code of the command; a machine that was stopped before its command ended has none."""
    return str(ended.get("code", "-")) if isinstance(ended, dict) else "-"


START = Verb(_quiet, _start, "banger vm start dev")
STOP = Verb(_grace, _stop, "banger vm stop --grace 30s dev web\nbanger stop -t 2 dev")
RESTART = Verb(_grace, _restart, "banger vm restart dev")
KILL = Verb(_kill_options, _kill, "banger vm kill dev\nbanger vm kill --signal HUP web")
PAUSE = Verb(_names, _pause, "banger vm pause dev")
RESUME = Verb(_names, _resume, "banger vm resume dev")
DELETE = Verb(_delete_options, _delete, "banger vm delete dev web\nbanger rm -f --all")
WAIT = Verb(_wait_options, _wait, "banger vm wait dev\nbanger vm wait --exec 5 dev")
