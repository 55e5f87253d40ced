"""`vm list` and `vm show`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import age, part_of, print_fields, print_json, print_table, printable, withhold
from banger.cli.parser import Arguments, Parser, Verb, at_least, json_flag
from banger.client.calls import machines_get, machines_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from banger.client.messages import Json

_HEADINGS = ("name", "state", "age", "image", "ports", "exit", "reason", "memory", "cpus", "accel")


_REASON_MAX = 60


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    parser.flag(
        "-a", "--all", action="store_true", help="accepted as in Docker: all machines are listed anyway"
    )
    parser.flag("-l", "--latest", action="store_true", help="list only the machine that was made last")
    parser.flag(
        "-n", "--last", type=at_least(1), metavar="N", help="list only the N machines that were made last"
    )
    filter_flags(parser, "name, id, label, status, ancestor, exited, network or health")
    json_flag(parser)


def filter_flags(parser: Parser, names: str) -> None:
    """The options of a listing that Docker has, too."""
    parser.flag(
        "-f",
        "--filter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"list only what fits; NAME is {names} (may be repeated)",
    )
    parser.flag(
        "--format",
        metavar="FORMAT",
        help='"json", or a template such as "{{.Names}}" or "table {{.Names}}", with the fields of Docker',
    )
    parser.flag("--no-trunc", action="store_true", help="do not fit the table to the terminal")


def has_format(arguments: Arguments) -> bool:
    """Whether --format asks for another form than the usual table, and --quiet does not ask for names."""
    return arguments.format is not None and arguments.format != "table" and not arguments.quiet


def _show_arguments(parser: Parser) -> None:
    parser.flag("--show-env", action="store_true", help="show the values of variables, too")
    json_flag(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _name(record: Json) -> str:
    return text_of(record, "name")


def _list(arguments: Arguments) -> int:
    machines = Daemon().records(machines_list())
    if arguments.filter:
        from banger.cli.formats import select
        from banger.cli.machine_filters import FILTERS

        machines = select(machines, arguments.filter, FILTERS)
    if last := 1 if arguments.latest else arguments.last:
        machines = sorted(machines, key=lambda machine: text_of(machine, "created"))[-last:]
    if has_format(arguments):
        from banger.cli.docker_view import listed_machine
        from banger.cli.formats import print_formatted

        print_formatted([listed_machine(machine) for machine in machines], arguments.format)
        return 0
    return print_list(arguments, machines, _HEADINGS, machine_row, whole=arguments.no_trunc)


def print_list(
    arguments: Arguments,
    records: list[Json],
    headings: Sequence[str],
    row: Callable[[Json], Sequence[str]],
    name: Callable[[Json], str] = _name,
    whole: bool = False,
) -> int:
    """Print records as --json or --quiet asks for: as JSON, by `name` alone, or as a table. Returns the exit code."""
    if arguments.json:
        print_json(records)
    elif arguments.quiet:
        print_names(records, name)
    else:
        print_table(headings, [row(record) for record in records], whole)
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
        age(text_of(machine, "created")),
        text_of(spec, "image"),
        _ports(machine),
        text_of(part_of(machine, "exit"), "code"),
        _reason(machine),
        memory_of(spec),
        text_of(spec, "cpus"),
        text_of(machine, "accel"),
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


LIST = Verb(
    _list_arguments,
    _list,
    "banger vm list\nbanger vm list --json\nbanger ps --filter label=team=web --format '{{.Names}}'",
)
SHOW = Verb(_show_arguments, _show, "banger vm show dev")
