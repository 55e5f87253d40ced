"""Templates: listed, shown, deleted, pruned."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import age, part_of, print_fields, print_json
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.cli.verbs.listing import memory_of, print_list, text_of
from banger.cli.verbs.upkeep import print_pruned, size_of
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("id", "image", "init", "cpus", "memory", "driver", "size", "used", "ready", "state")
_SHORT = 12


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print ids only")
    json_flag(parser)


def _show_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("name", metavar="ID", help="id of the template, or its beginning")


def _delete_arguments(parser: Parser) -> None:
    json_flag(parser)
    parser.positional("names", metavar="ID", nargs="+", help="ids of templates, or their beginnings")


def _prune_arguments(parser: Parser) -> None:
    parser.flag("--all", action="store_true", help="remove the templates that are still useful, too")
    parser.flag("--dry-run", action="store_true", help="remove nothing; print what would be removed")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(calls.templates_list()), _HEADINGS, _row, _short_id)


def _short_id(template: Json) -> str:
    """The shortest beginning of the id that no other id has."""
    return text_of(template, "id")[:_SHORT]


def _row(template: Json) -> tuple[str, ...]:
    shape = part_of(template, "shape")
    return (
        _short_id(template),
        text_of(template, "image"),
        text_of(shape, "init"),
        text_of(shape, "cpus"),
        memory_of(shape),
        f"{text_of(shape, 'driver')}/{text_of(shape, 'accel')}",
        size_of(template, "size_bytes"),
        age(text_of(template, "used")),
        text_of(template, "ready"),
        _state(template),
    )


def _state(template: Json) -> str:
    stale = text_of(template, "stale")
    return f"stale: {stale}" if stale else "current"


def _show(arguments: Arguments) -> int:
    template = Daemon().record(calls.templates_get(arguments.name))
    print_json(template) if arguments.json else print_fields(template)
    return 0


def _delete(arguments: Arguments) -> int:
    daemon = Daemon()

    def one(identifier: str) -> None:
        daemon.call(calls.templates_delete(identifier))
        print_json(identifier) if arguments.json else print(identifier, flush=True)

    return for_each(arguments.names, one, arguments.json)


def _prune(arguments: Arguments) -> int:
    pruned = Daemon().record(calls.templates_prune(arguments.all, arguments.dry_run))
    return print_pruned(pruned, "template(s)", arguments.json)


LIST = Verb(_list_arguments, _list, "banger template list")
SHOW = Verb(_show_arguments, _show, "banger template show 4be1c07d")
DELETE = Verb(_delete_arguments, _delete, "banger template delete 4be1c07d")
PRUNE = Verb(_prune_arguments, _prune, "banger template prune --dry-run\nbanger template prune --all")
