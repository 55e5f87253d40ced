"""`vm stats`: what machines use, once or live."""

from __future__ import annotations

import time

from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import part_of, print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb
from banger.cli.terminal import is_terminal
from banger.client import calls
from banger.errors import Error
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json

_HEADINGS = ("name", "cpu", "memory", "memory on host", "network in/out", "disk in/out", "disk of its own")
_FIELDS = ("Name", "CPUPerc", "MemUsage", "HostMemory", "NetIO", "BlockIO", "Disk")
_SAMPLE_S = 0.5
_EVERY_S = 2.0


def _stats_arguments(parser: Parser) -> None:
    parser.flag(
        "--no-stream", action="store_true", help="print once (default: live on a terminal, else once)"
    )
    parser.flag("--watch", action="store_true", help="print again and again, also where no terminal is")
    parser.flag(
        "-a", "--all", action="store_true", help="accepted as in Docker: machines that do not run use nothing"
    )
    parser.flag("--no-trunc", action="store_true", help="do not fit the table to the terminal")
    parser.flag("--format", metavar="FORMAT", help='"json", or a template such as "{{.Name}} {{.CPUPerc}}"')
    parser.flag(
        "--json", action="store_true", help="print the statistics of the API once, and errors as JSON"
    )
    parser.positional(
        "names", metavar="NAME", nargs="*", help="names or ids of machines (default: all that run)"
    )


def _stats(arguments: Arguments) -> int:
    daemon = Daemon()
    if arguments.json:
        names = arguments.names or _running(daemon)
        found: list[Json] = []
        code = for_each(names, lambda name: found.append(daemon.record(calls.machines_stats(name))), True)
        print_json(found[0] if len(arguments.names) == 1 and found else found)
        return code
    live = not arguments.no_stream and (arguments.watch or is_terminal(1))
    while True:
        code = _show(daemon, arguments, live)
        if not live:
            return code
        time.sleep(_EVERY_S)


def _show(daemon: Daemon, arguments: Arguments, live: bool) -> int:
    names = arguments.names or _running(daemon)
    before: dict[str, tuple[float, Json]] = {}
    code = for_each(names, lambda name: before.update({name: _sample(daemon, name)}))
    if before:
        time.sleep(_SAMPLE_S)
    rows = []
    for name, (then, earlier) in before.items():
        try:
            now, later = _sample(daemon, name)
        except Error:  # it ended meanwhile
            continue
        rows.append(_row(name, now - then, earlier, later))
    if arguments.format and arguments.format != "table":
        from banger.cli.formats import print_formatted

        print_formatted([dict(zip(_FIELDS, row, strict=True)) for row in rows], arguments.format)
        return code
    if live and is_terminal(1):
        print("\x1b[H\x1b[2J", end="")
    print_table(_HEADINGS, rows, arguments.no_trunc)
    return code


def _running(daemon: Daemon) -> list[str]:
    return [
        printable(str(one.get("name")))
        for one in daemon.records(calls.machines_list())
        if one.get("state") == "running"
    ]


def _sample(daemon: Daemon, name: str) -> tuple[float, Json]:
    stats = daemon.record(calls.machines_stats(name))
    return time.monotonic(), stats


def _row(name: str, seconds: float, earlier: Json, later: Json) -> tuple[str, ...]:
    guest, vmm = part_of(later, "guest"), part_of(later, "vmm")
    busy_s = _number(vmm, "cpu_s") - _number(part_of(earlier, "vmm"), "cpu_s")
    total = _number(guest, "memory_total_bytes")
    used = total - _number(guest, "memory_available_bytes")
    return (
        name,
        f"{100 * busy_s / seconds:.1f}%" if seconds else "",
        f"{_size(used)} of {_size(total)}",
        _size(_number(vmm, "memory_pss_bytes") or _number(vmm, "memory_rss_bytes")),
        _in_and_out(guest.get("networks"), "received_bytes", "sent_bytes"),
        _in_and_out(guest.get("disks"), "read_bytes", "written_bytes"),
        _size(_number(vmm, "disk_bytes")),
    )


def _in_and_out(devices: object, into: str, out: str) -> str:
    """The sum of all devices but the loopback."""
    known = [one for one in devices if isinstance(one, dict)] if isinstance(devices, list) else []
    counted = [one for one in known if one.get("name") != "lo"]
    return " / ".join(_size(sum(_number(one, field) for one in counted)) for field in (into, out))


def _size(size_bytes: float) -> str:
    return format_size(max(0, int(size_bytes)))


def _number(record: Json, name: str) -> float:
    value = record.get(name)
    return value if isinstance(value, int | float) else 0


STATS = Verb(_stats_arguments, _stats, "banger vm stats dev\nbanger stats --no-stream")
