"""Long work of the daemon: listed, watched, cancelled."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.made import made_names
from banger.cli.output import age, print_fields, print_json
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import print_list
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("id", "kind", "target", "state", "age", "phase", "result")


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print ids only")
    json_flag(parser)


def _id_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("id", metavar="ID", help="id of the operation")


def _wait_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    _id_arguments(parser)


def _list(arguments: Arguments) -> int:
    operations = Daemon().records(calls.operations_list())
    return print_list(arguments, operations, _HEADINGS, _row, lambda operation: str(operation.get("id", "")))


def _row(operation: Json) -> list[str]:
    progress = operation.get("progress")
    phase = str(progress.get("phase", "")) if isinstance(progress, dict) else ""
    first = [str(operation.get(name, "")) for name in ("id", "kind", "target", "state")]
    return [*first, age(str(operation.get("begun", ""))), phase, " ".join(made_names(operation))]


def _print(operation: Json, as_json: bool) -> int:
    print_json(operation) if as_json else print_fields(operation)
    return 0


def _show(arguments: Arguments) -> int:
    return _print(Daemon().record(calls.operations_get(arguments.id)), arguments.json)


def _wait(arguments: Arguments) -> int:
    from banger.cli.watching import watch_operation

    return _print(watch_operation(Daemon(), arguments.id, arguments.quiet), arguments.json)


def _cancel(arguments: Arguments) -> int:
    return _print(Daemon().record(calls.operations_cancel(arguments.id)), arguments.json)


LIST = Verb(_list_arguments, _list, "banger operation list")
SHOW = Verb(_id_arguments, _show, "banger operation show 01HZX3")
WAIT = Verb(_wait_arguments, _wait, "banger operation wait 01HZX3")
CANCEL = Verb(_id_arguments, _cancel, "banger operation cancel 01HZX3")
