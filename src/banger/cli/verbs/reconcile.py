"""`system reconcile`: compare the records with the host."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def _options(parser: Parser) -> None:
    parser.flag("--dry-run", action="store_true", help="change nothing; print what would change")
    parser.flag(
        "--remove",
        action="store_true",
        help="remove everything that no record refers to, disks included",
    )
    json_flag(parser)


def _reconcile(arguments: Arguments) -> int:
    found = Daemon().record(calls.system_reconcile(arguments.dry_run, arguments.remove))
    if arguments.json:
        print_json(found)
        return 0
    lines = [*_describe_machines(found), *_describe_unreleased(found), *_describe_leftovers(found)]
    print("\n".join(map(printable, lines)) if lines else "records and host agree")
    return 0


def _records(found: Json, key: str) -> list[Json]:
    value = found.get(key)
    return value if isinstance(value, list) else []


def _describe_machines(found: Json) -> list[str]:
    return [
        f"{m['name']}: {m['was']} -> {m['now']}" + (f" ({m['reason']})" if m["reason"] else "")
        for m in _records(found, "machines")
    ]


def _describe_unreleased(found: Json) -> list[str]:
    """The error names the resource already."""
    return [
        f"{u['owner']}: {u['what']} is released now"
        if u.get("released")
        else f"{u['owner']}: {u.get('problem')}"
        for u in _records(found, "unreleased")
    ]


def _describe_leftovers(found: Json) -> list[str]:
    lines = []
    for leftover in _records(found, "leftovers"):
        state = "removed" if leftover.get("removed") else leftover.get("problem") or "left"
        lines.append(f"{leftover['kind']} {leftover['what']}: {state}")
    return lines


RECONCILE = Verb(_options, _reconcile, "banger system reconcile --dry-run\nbanger system reconcile --remove")
