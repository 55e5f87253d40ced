"""`vm list` and `vm show`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import age, print_fields, print_json, print_table, printable, withhold
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client.calls import machines_get, machines_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from banger.client.messages import Json

_HEADINGS = ("name", "state", "image", "accel", "cpus", "memory", "ports", "age", "exit", "reason")


_REASON_MAX = 60


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _show_arguments(parser: Parser) -> None:
    parser.flag("--show-env", action="store_true", help="show the values of variables, too")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _name(record: Json) -> str:
    return text_of(record, "name")


def _list(arguments: Arguments) -> int:
    return print_list(arguments, Daemon().records(machines_list()), _HEADINGS, machine_row)


def print_list(
    arguments: Arguments,
    records: list[Json],
    headings: Sequence[str],
    row: Callable[[Json], Sequence[str]],
    name: Callable[[Json], str] = _name,
) -> int:
    """Print records as --json or --quiet asks for: as JSON, by `name` alone, or as a table. Returns the exit code."""
    if arguments.json:
        print_json(records)
    elif arguments.quiet:
        print_names(records, name)
    else:
        print_table(headings, [row(record) for record in records])
    return 0


def print_names(records: list[Json], name: Callable[[Json], str] = _name) -> None:
    """One name per line, for scripts."""
    for record in records:
        print(printable(name(record)))


def machine_row(machine: Json) -> tuple[str, ...]:
    """The cells of a machine, in the order of the headings."""
    spec = part_of(machine, "spec")
    return (
        text_of(machine, "name"),
        _state(machine),
        text_of(spec, "image"),
        text_of(machine, "accel"),
        text_of(spec, "cpus"),
        memory_of(spec),
        _ports(machine),
        age(text_of(machine, "created")),
        text_of(part_of(machine, "exit"), "code"),
        _reason(machine),
    )


def _ports(machine: Json) -> str:
    """The published ports of a machine that runs."""
    if text_of(machine, "state") not in ("running", "paused"):
        return ""
    from banger.cli.verbs.networking import ports_of, show_port

    return " ".join(map(show_port, ports_of(machine)))


def _reason(machine: Json) -> str:
    """Why the machine does not run, shortened; `vm show` has the whole text."""
    if text_of(machine, "state") not in ("stopped", "failed"):
        return ""
    reason = printable(text_of(machine, "reason"))
    return reason if len(reason) <= _REASON_MAX else reason[: _REASON_MAX - 1] + "…"


def _state(machine: Json) -> str:
    """The state; "idle" for a machine that banger paused because no request used it. With the result of its
    healthcheck, if it has one."""
    state = text_of(machine, "state")
    if state == "paused" and machine.get("idle") is True:
        return "idle"
    health = text_of(machine, "health") if state == "running" else ""
    return f"{state} ({health})" if health else state


def _origin(origin: Json) -> str:
    """What a machine came from, in words."""
    match origin:
        case {"kind": "template", "template": template}:
            return f"template {str(template)[:12]}"
        case {"kind": "snapshot", "machine": machine, "tag": tag}:
            return f"snapshot {machine}:{tag}"
        case {"kind": "fork", "machine": machine}:
            return f"fork of {machine}"
    return text_of(origin, "kind")


def part_of(record: Json, name: str) -> Json:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def text_of(record: Json, name: str) -> str:
    value = record.get(name)
    return "" if value is None else str(value)


def memory_of(record: Json) -> str:
    """The memory of a spec or a shape."""
    from banger.model.sizes import MIB, format_size

    mebibytes = record.get("memory_mib")
    return format_size(mebibytes * MIB) if isinstance(mebibytes, int) else ""


def _show(arguments: Arguments) -> int:
    machine = Daemon().record(machines_get(arguments.name))
    if arguments.json:
        print_json(machine, arguments.show_env)
    else:
        warnings, lacks = machine.pop("warnings", None), machine.pop("driver_lacks", None)
        machine["origin"] = _origin(part_of(machine, "origin"))
        _say_how_it_is_reached(machine)
        print_fields(machine if arguments.show_env else withhold(machine))
        for lack in lacks if isinstance(lacks, list) else ():
            print(f"driver lacks: {printable(str(lack))}")
        for warning in warnings if isinstance(warnings, list) else ():
            print(f"warning: {printable(str(warning))}")
    return 0


def _say_how_it_is_reached(machine: Json) -> None:
    """Put its published ports in place of addresses that only machines on the same network can reach."""
    network = part_of(machine, "network")
    if not part_of(machine, "spec").get("networks"):
        machine.pop("address", None)
        network.pop("address_6", None)
    published = _ports(machine)
    network.pop("ports", None)
    if published:
        machine["ports"] = published


LIST = Verb(_list_arguments, _list, "banger vm list\nbanger vm list --json")
SHOW = Verb(_show_arguments, _show, "banger vm show dev")
