"""Verbs that freeze a machine or go back to a frozen one: snapshot, restore, fork, commit."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, Verb, at_least, json_flag
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call


def _options(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    json_flag(parser)


def _name(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _snapshot_arguments(parser: Parser) -> None:
    _options(parser)
    _name(parser)
    parser.positional("new", metavar="TAG", help="tag for the snapshot")


def _restore_arguments(parser: Parser) -> None:
    _options(parser)
    parser.positional("machine", metavar="NAME", help="name of the machine, even if it is deleted by now")
    parser.positional("tag", metavar="TAG", help="tag of the snapshot")


def _fork_arguments(parser: Parser) -> None:
    parser.flag("--count", type=at_least(1), default=1, metavar="N", help="number of copies (default: 1)")
    parser.flag(
        "--name",
        dest="children",
        default="",
        metavar="NAME",
        help="name the copies NAME-1, NAME-2 and so on (default: the machine's name)",
    )
    parser.flag(
        "--with-secrets",
        action="store_true",
        help="copy a machine that has secrets: the copies have them in their memory, too",
    )
    _options(parser)
    _name(parser)


def _commit_arguments(parser: Parser) -> None:
    _options(parser)
    _name(parser)
    parser.positional("new", metavar="IMAGE", help="name for the image")


def _finish(arguments: Arguments, call: Call[object]) -> int:
    """Begin the operation, wait for its end, and print what it made, one name per line."""
    from banger.cli.made import print_made
    from banger.cli.watching import finish_operation

    daemon = Daemon()
    ended = finish_operation(daemon, daemon.record(call), arguments.quiet)
    print_made(ended, arguments.json)
    return 0


def _snapshot(arguments: Arguments) -> int:
    return _finish(arguments, calls.machines_snapshot(arguments.name, arguments.new))


def _restore(arguments: Arguments) -> int:
    return _finish(arguments, calls.machines_restore(arguments.machine, arguments.tag))


def _fork(arguments: Arguments) -> int:
    call = calls.machines_fork(arguments.name, arguments.count, arguments.children, arguments.with_secrets)
    return _finish(arguments, call)


def _commit(arguments: Arguments) -> int:
    return _finish(arguments, calls.machines_commit(arguments.name, arguments.new))


SNAPSHOT = Verb(_snapshot_arguments, _snapshot, "banger vm snapshot dev before-upgrade")
RESTORE = Verb(_restore_arguments, _restore, "banger vm restore dev before-upgrade")
FORK = Verb(_fork_arguments, _fork, "banger vm fork dev\nbanger vm fork --count 8 --name worker dev")
COMMIT = Verb(_commit_arguments, _commit, "banger vm commit dev team/app:dev")
