"""Verbs that look at a running machine: health, ping, ports, execs."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.output import print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, at_least, json_flag
from banger.client import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_PARTS = (("agent", "agent"), ("init", "init"), ("clock", "clock"), ("vmm", "VMM"))


def _name(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _json_name(parser: Parser) -> None:
    json_flag(parser)
    _name(parser)


def _ping_arguments(parser: Parser) -> None:
    parser.flag(
        "-c", "--count", type=at_least(1), default=3, metavar="N", help="number of pings (default: 3)"
    )
    _json_name(parser)


def _execs(arguments: Arguments) -> int:
    execs = Daemon().records(calls.machines_execs(arguments.name))
    if arguments.json:
        print_json(execs)
    else:
        print_table(("id", "pid", "state", "exit", "started", "command"), [_exec_row(e) for e in execs])
    return 0


def _exec_row(record: Json) -> tuple[str, ...]:
    ended, argv = record.get("exit"), record.get("argv")
    state = "running" if record.get("running") is True else "ended" if ended else "lost"
    return (
        str(record.get("id", "")),
        str(record.get("pid", "")),
        f"{state}, main" if record.get("main") is True else state,
        str(ended.get("code", "")) if isinstance(ended, dict) else "",
        str(record.get("started", "")),
        printable(" ".join(map(str, argv)) if isinstance(argv, list) else ""),
    )


def _health(arguments: Arguments) -> int:
    health = Daemon().record(calls.machines_health(arguments.name))
    if arguments.json:
        print_json(health)
    else:
        for key, title in _PARTS:
            print(_health_line(title, health.get(key)))
    return 0 if all(_is_ok(health.get(key)) for key, _ in _PARTS) else 1


def _is_ok(part: object) -> bool:
    return isinstance(part, dict) and part.get("ok") is True


def _health_line(title: str, part: object) -> str:
    message = str(part.get("message", "")) if isinstance(part, dict) else "not reported"
    verdict = "ok" if _is_ok(part) else "not ok"
    return f"{title:<6} {verdict}" + (f": {printable(message)}" if message else "")


def _ping(arguments: Arguments) -> int:
    answer = Daemon().record(calls.machines_ping(arguments.name, arguments.count))
    if arguments.json:
        print_json(answer)
        return 0
    trips = _trips(answer)
    for number, trip_ms in enumerate(trips, 1):
        print(f"{arguments.name}: seq={number} time={trip_ms:.2f} ms")
    print(_summary(trips, arguments.count))
    return 0 if trips else 1


def _trips(answer: Json) -> list[float]:
    trips = answer.get("round_trips_ms")
    return [float(trip) for trip in trips if isinstance(trip, int | float)] if isinstance(trips, list) else []


def _summary(trips_ms: list[float], asked: int) -> str:
    if not trips_ms:
        return f"{asked} sent, 0 answered"
    mean = sum(trips_ms) / len(trips_ms)
    ends = f"{min(trips_ms):.2f}/{mean:.2f}/{max(trips_ms):.2f}"
    return f"{asked} sent, {len(trips_ms)} answered, min/avg/max {ends} ms"


def _ports(arguments: Arguments) -> int:
    ports = Daemon().records(calls.machines_ports(arguments.name))
    if arguments.json:
        print_json(ports)
    else:
        names = ("protocol", "address", "port", "pid", "process")
        rows = [
            (*(str(port.get(name) or "") for name in names), ways(arguments.name, port)) for port in ports
        ]
        print_table((*names, "reached from here"), rows)
    return 0


def ways(machine: str, port: Json) -> str:
    """How the port is reached from this host: where it is published, or else what publishes it or tunnels to it."""
    from banger.cli.verbs.networking import published_at

    if at := published_at(port):
        return " ".join(at)
    number, is_tcp = port.get("port"), str(port.get("protocol")).startswith("tcp")
    protocol = "" if is_tcp else "/udp"
    found = [f"banger vm port add {machine} 0:{number}{protocol}"] if port.get("publishable") else []
    found += [f"banger vm tunnel {machine} {number}"] if is_tcp else []
    if not found:
        return "no: it is on the machine's loopback" if port.get("loopback") else "no: the machine has no tap"
    return " or ".join(found)


HEALTH = Verb(_json_name, _health, "banger vm health dev")
PING = Verb(_ping_arguments, _ping, "banger vm ping -c 10 dev")
PORTS = Verb(_json_name, _ports, "banger vm ports dev")
EXECS = Verb(_json_name, _execs, "banger vm execs dev")
