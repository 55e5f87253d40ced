"""Verbs that change a machine that exists: rename, update, reset."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import print_json, printable
from banger.cli.parser import (
    Arguments,
    Parser,
    UsageError,
    Verb,
    above_zero,
    json_flag,
    mebibytes,
    seconds,
)
from banger.cli.verbs.run import disk_size, label, limit_flags
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Facts

_LIMITS = {
    "cpu_limit": "cpu_limit",
    "memory_limit": "memory_limit_bytes",
    "pids_limit": "pids_limit",
    "io_limit": "io_limit_bytes",
    "iops_limit": "iops_limit",
}
_OTHERS = {"restart": "restart", "ttl": "ttl_s", "memory": "memory_mib", "disk": "disk_bytes"}


def _rename_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")
    parser.positional("new", metavar="NEW", help="new name of the machine")


def _rename(arguments: Arguments) -> int:
    machine = Daemon().record(calls.machines_rename(arguments.name, arguments.new))
    if arguments.json:
        print_json(machine)
    return 0


def _update_arguments(parser: Parser) -> None:
    parser.group("limits on this host, also of a running machine")
    limit_flags(
        parser,
        _limit,
        "processor time, in processors; 0: no limit (of a stopped machine), as for all limits",
        least=0,
    )
    parser.group("size, for the next start")
    parser.flag(
        "-c",
        "--cpus",
        type=above_zero,
        metavar="N",
        help="number of processors; 0.5 is a --cpu-limit of 0.5, and leaves their number",
    )
    parser.flag("-m", "--memory", type=mebibytes, metavar="SIZE", help="memory of the machine")
    parser.flag(
        "--disk", type=disk_size, metavar="SIZE", help="size of the root disk, before the first start"
    )
    parser.group("other")
    parser.flag("--restart", metavar="POLICY", help="no, on-failure[:N], always or unless-stopped")
    parser.flag("--ttl", type=seconds, metavar="TIME", help="delete the machine this long from now; 0: never")
    parser.flag(
        "-l", "--label", type=label, action="append", default=[], metavar="NAME[=VALUE]", help="add a label"
    )
    parser.flag("--label-rm", action="append", default=[], metavar="NAME", help="remove a label")
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names or ids of machines")


def _limit(text: str) -> float:
    """A `type` for argparse: a number above zero, or 0 for no limit."""
    return 0.0 if text == "0" else above_zero(text)


def _planned(arguments: Arguments) -> Facts:
    """The fields of the request that the user gave."""
    options = {**_LIMITS, **_OTHERS}
    planned = {
        field: value for option, field in options.items() if (value := getattr(arguments, option)) is not None
    }
    cpus = arguments.cpus
    if cpus is not None and int(cpus) == cpus:
        planned["cpus"] = int(cpus)
    elif cpus is not None:
        planned["cpu_limit"] = planned.get("cpu_limit", cpus)
    if arguments.label:
        planned["labels"] = dict(arguments.label)
    if arguments.label_rm:
        planned["remove_labels"] = arguments.label_rm
    return planned


def _update(arguments: Arguments) -> int:
    planned = _planned(arguments)
    if not planned:
        raise UsageError("give at least one option that says what to change", "banger vm update")
    daemon = Daemon()

    def one(name: str) -> None:
        machine = daemon.record(calls.machines_update(name, **planned))
        print_json(machine) if arguments.json else print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


def _reset_arguments(parser: Parser) -> None:
    parser.flag("-f", "--force", action="store_true", help="do not ask; kill running machines first")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress and print nothing")
    json_flag(parser)
    parser.positional("names", metavar="NAME", nargs="+", help="names or ids of machines")


def _reset(arguments: Arguments) -> int:
    from banger.cli.asking import confirm
    from banger.cli.watching import finish_operation

    if not arguments.force:
        names = printable(" ".join(arguments.names))
        confirm(f"Remove all that changed on the disk of {names}?", "nothing was removed", "add --force")
    daemon = Daemon()

    def one(name: str) -> None:
        begun = daemon.record(calls.machines_reset(name, arguments.force))
        ended = finish_operation(daemon, begun, arguments.quiet)
        if arguments.json:
            print_json(ended)
        elif not arguments.quiet:
            print(printable(name), flush=True)

    return for_each(arguments.names, one, arguments.json)


RENAME = Verb(_rename_arguments, _rename, "banger vm rename dev web")
UPDATE = Verb(
    _update_arguments,
    _update,
    "banger vm update --cpu-limit 0.5 --restart always dev\nbanger update -m 1GiB dev",
)
RESET = Verb(_reset_arguments, _reset, "banger vm reset dev\nbanger reset -f dev web")
