"""`vm run` and `vm create`."""

from __future__ import annotations

from banger.cli.command import command_options, detach_option, imply_terminal, own_terminal, prepare_command
from banger.cli.daemon import Daemon
from banger.cli.output import printable
from banger.cli.parser import (
    Arguments,
    Parser,
    Verb,
    above_zero,
    at_least,
    json_flag,
    mebibytes,
    seconds,
    size,
    worded,
)
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from banger.cli.attachment import Ending
    from banger.cli.timings import Stopwatch
    from banger.client.call import Facts

_SMALLEST_DISK = 64 << 20
_POLICIES = ("none", "internet", "lan", "host")
# option: field of MachineSpec
_SPEC_FIELDS = {
    "name": "name",
    "kernel": "kernel",
    "memory": "memory_mib",
    "disk": "disk_bytes",
    "accel": "accel",
    "aslr": "aslr",
    "driver": "driver",
    "boot_timeout": "boot_timeout_s",
    "cold": "cold",
    "restart": "restart",
    "stop_signal": "stop_signal",
    "stop_timeout": "stop_grace_s",
    "idle_pause": "idle_pause_s",
    "ttl": "ttl_s",
    "cpu_limit": "cpu_limit",
    "memory_limit": "memory_limit_bytes",
    "pids_limit": "pids_limit",
    "io_limit": "io_limit_bytes",
    "iops_limit": "iops_limit",
    "limits": "limits",
    "allow": "allow",
    "deny": "deny",
    "dns": "dns",
    "add_host": "hosts",
    "hostname": "hostname",
    "publish": "ports",
    "publish_all": "publish_all",
    "confine": "confine",
    "rm": "remove",
    "read_only": "read_only",
    "tmpfs": "tmpfs",
    "ulimit": "ulimits",
}


def label_flag(parser: Parser, noun: str) -> None:
    parser.flag(
        "-l",
        "--label",
        type=label,
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help=f"a label of the {noun}, for yourself and for programs (may be repeated)",
    )


def _spec_options(parser: Parser) -> None:
    """Add the options of a spec. The daemon chooses what the user does not give."""
    parser.group("command")
    command_options(parser)
    parser.flag(
        "--entrypoint",
        metavar="PROGRAM",
        help="run this program instead of the image's entrypoint (default: the image's)",
    )
    _machine_options(parser)
    _mount_options(parser)
    _start_options(parser)
    _network_options(parser)
    _limit_options(parser)
    _health_options(parser)


def _machine_options(parser: Parser) -> None:
    parser.group("machine")
    parser.flag("--name", metavar="NAME", help="name of the machine (default: a generated name)")
    parser.flag(
        "-h", "--hostname", metavar="NAME", help="host name in the machine (default: the machine's name)"
    )
    parser.flag(
        "-c",
        "--cpus",
        type=above_zero,
        metavar="N",
        help="number of processors; 0.5 is one with a --cpu-limit of 0.5 (default: 1)",
    )
    parser.flag(
        "-m", "--memory", type=mebibytes, metavar="SIZE", help='memory, such as "512MiB" (default: 512MiB)'
    )
    parser.flag(
        "--disk",
        type=disk_size,
        metavar="SIZE",
        help='size of the root disk, such as "8GiB" (default: 4GiB, or the size of a larger image)',
    )
    label_flag(parser, "machine")
    parser.flag(
        "--read-only",
        action="store_true",
        help="mount the root disk read-only; /run, /dev/shm and each --tmpfs stay writable",
    )
    parser.flag(
        "--tmpfs",
        action="append",
        metavar="DIR[:OPTIONS]",
        help='a directory in the memory of the machine, such as "/tmp:size=64m" (may be repeated)',
    )
    parser.flag(
        "--ulimit",
        action="append",
        metavar="NAME=SOFT[:HARD]",
        help='a limit of the commands in the machine, such as "nofile=1024:4096" (may be repeated)',
    )
    parser.flag(
        "--secret",
        action="append",
        metavar="NAME[=USE]",
        help="give the machine a secret: as the file /run/secrets/NAME, or as USE says: file:PATH, env or env:VARIABLE "
        "(may be repeated)",
    )
    parser.flag(
        "--cidfile", metavar="FILE", help="write the name of the machine to this file, which must not exist"
    )


def _mount_options(parser: Parser) -> None:
    parser.group("files of this host")
    parser.flag(
        "-v",
        "--volume",
        action="append",
        metavar="SOURCE:TARGET[:ro]",
        help="let the machine have a directory of this host, such as ./src:/src, or a volume, such as data:/data; "
        "ro: for reading only (repeatable)",
    )
    parser.flag(
        "--mount",
        action="append",
        metavar="type=TYPE,...",
        help='the same, written as in "type=bind,source=./src,target=/src,readonly", '
        '"type=volume,source=data,target=/data", or "type=tmpfs,target=/tmp"',
    )


def _start_options(parser: Parser) -> None:
    parser.group("start and end")
    parser.flag(
        "--pull",
        choices=("missing", "always", "never"),
        default="missing",
        help="when to fetch the image (default: missing)",
    )
    parser.flag(
        "--platform",
        metavar="OS/ARCH",
        help="platform of the image; a machine has the processor of this host (default: this host's)",
    )
    parser.flag(
        "--init",
        choices=("", "agent", "image", "entrypoint"),
        nargs="?",
        metavar="{agent,image,entrypoint}",
        help="process 1 of the guest: banger's agent, the image's init, or the image's entrypoint itself (default: as "
        "the image wants; without a value: agent)",
    )
    parser.flag(
        "--accel",
        choices=("auto", "kvm", "tcg"),
        help="accelerator: kvm (hardware), tcg (emulation), or auto for the faster one (default: auto)",
    )
    parser.flag(
        "--aslr",
        choices=("auto", "on", "off"),
        help="random addresses of the machine's programs: on, off, or auto, which is off where emulation is several "
        "times faster without them (default: auto)",
    )
    parser.flag(
        "--driver",
        metavar="NAME",
        help="VMM that runs the machine: qemu, firecracker, or auto: firecracker where it works, qemu elsewhere "
        "(default: the first that works, qemu before firecracker)",
    )
    parser.flag("--kernel", metavar="REF", help="kernel to boot (default: the image's, or debian-cloud)")
    parser.flag(
        "--cold", action="store_true", help="boot the machine, instead of starting it from a template"
    )
    parser.flag(
        "--boot-timeout",
        type=seconds,
        metavar="TIME",
        help="give up when the boot takes longer than this (default: 60s)",
    )
    parser.flag(
        "--idle-pause",
        type=seconds,
        metavar="TIME",
        help="pause the machine after this time without use; the next use wakes it (default: never)",
    )
    parser.flag(
        "--ttl",
        type=seconds,
        metavar="TIME",
        help="delete the machine when it is this old, running or not (default: never)",
    )
    parser.flag(
        "--restart",
        metavar="POLICY",
        help="when to start the machine again after it ends by itself: no, on-failure[:N], always or unless-stopped "
        "(default: no)",
    )
    parser.flag(
        "--stop-signal",
        metavar="SIGNAL",
        help="signal that asks the command to end (default: the image's, or TERM)",
    )
    parser.flag(
        "--stop-timeout",
        type=seconds,
        metavar="TIME",
        help="time for each step of a clean shutdown before the next, harder step (default: 10s)",
    )


def _health_options(parser: Parser) -> None:
    """Add the options of the machine's own check."""
    parser.group("health")
    parser.flag("--health-cmd", metavar="CMD", help="command for sh that checks the machine (default: none)")
    parser.flag("--health-interval", type=seconds, metavar="TIME", help="time between checks (default: 30s)")
    parser.flag(
        "--health-timeout", type=seconds, metavar="TIME", help="time that a check may take (default: 30s)"
    )
    parser.flag(
        "--health-retries",
        type=at_least(1),
        metavar="N",
        help="failures in a row that make the machine unhealthy (default: 3)",
    )
    parser.flag(
        "--health-start-period",
        type=seconds,
        metavar="TIME",
        help="time after the start in which failures do not count (default: 0s)",
    )
    parser.flag(
        "--health-start-interval",
        type=seconds,
        metavar="TIME",
        help="time between checks until the first success (default: 5s)",
    )


def limit_flags(parser: Parser, cpu: Callable[[str], float], cpu_help: str, least: int) -> None:
    """Add the limits themselves. `cpu` reads the number of processors; `least` is the least of the other numbers."""
    parser.flag("--cpu-limit", type=cpu, metavar="N", help=cpu_help)
    parser.flag(
        "--memory-limit", type=size, metavar="SIZE", help="memory of the host for VMM and guest together"
    )
    parser.flag("--pids-limit", type=at_least(least), metavar="N", help="number of threads of the VMM")
    parser.flag("--io-limit", type=size, metavar="SIZE", help="bytes per second to and from the root disk")
    parser.flag(
        "--iops-limit", type=at_least(least), metavar="N", help="reads and writes per second on the root disk"
    )


def _limit_options(parser: Parser) -> None:
    """Add the options that limit what a machine uses of the host."""
    parser.group("limits on this host")
    limit_flags(
        parser,
        above_zero,
        "processor time, as a number of processors, such as 0.5 (default: as much as it needs, as for all limits)",
        least=1,
    )
    parser.flag(
        "--limits",
        choices=("strict", "best-effort"),
        help="refuse a limit that this host cannot enforce (strict), or warn and continue (best-effort) "
        "(default: strict)",
    )
    parser.flag(
        "--confine",
        choices=("strict", "best-effort"),
        help="refuse to run a VMM without a layer of its jail that this host does not have (strict), or continue "
        "without this layer (default: best-effort)",
    )


def _network_options(parser: Parser) -> None:
    """Add the options of the machine's network."""
    parser.group("network")
    parser.flag(
        "--network",
        "--net",
        action="append",
        metavar="NETWORK",
        help="what the machine can reach: nothing (none), the internet (internet, the default), also private networks "
        "(lan), or also this host itself (host); or a named network, whose machines it then reaches (may be repeated)",
    )
    parser.flag(
        "--network-alias",
        action="append",
        metavar="NAME",
        help="a further name of the machine on its named networks",
    )
    parser.flag(
        "--allow",
        action="append",
        metavar="HOST[:PORT]",
        help='also let the machine reach this name, address or network, such as "example.com:443" or "192.0.2.0/24"',
    )
    parser.flag(
        "--deny",
        action="append",
        metavar="HOST[:PORT]",
        help="do not let the machine reach this name or network",
    )
    parser.flag("--dns", action="append", metavar="ADDRESS", help="name server to use instead of this host's")
    parser.flag(
        "--add-host", action="append", metavar="NAME:ADDRESS", help="a name that the machine can look up"
    )
    parser.flag(
        "-p",
        "--publish",
        action="append",
        metavar="[BIND:]HOST:GUEST[/PROTOCOL]",
        help='let a port of this host lead to a port of the machine, such as "8080:80" (default of BIND: 127.0.0.1)',
    )
    parser.flag(
        "-P",
        "--publish-all",
        action="store_true",
        help="publish each port that the image exposes, on free ports",
    )


def _target(parser: Parser) -> None:
    parser.positional("image", metavar="IMAGE", help="image to run, such as debian-bookworm")
    parser.positional(
        "command",
        metavar="[--] CMD",
        nargs="*",
        default=[],
        help="command to run (default: the image's command)",
    )


def _run_arguments(parser: Parser) -> None:
    _spec_options(parser)
    parser.group("this command")
    parser.flag("--rm", action="store_true", help="delete the machine when the command ends")
    parser.flag(
        "-d", "--detach", action="store_true", help="print the machine's name and leave the machine running"
    )
    detach_option(parser)
    parser.flag("--timings", action="store_true", help="print the time that each step took, to stderr")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    _target(parser)


def _create_arguments(parser: Parser) -> None:
    _spec_options(parser)
    parser.group("this command")
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    parser.flag(
        "--idempotency-key",
        type=worded(_key),
        metavar="KEY",
        help="the same key within 24 hours gives the same machine, not another one",
    )
    json_flag(parser)
    _target(parser)


def _disk_size(text: str) -> int:
    size_bytes = size(text)
    if size_bytes < _SMALLEST_DISK:
        raise ValueError(f"{text!r} is too small for a root disk: give at least 64MiB")
    return size_bytes


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise ValueError(f"the label {text!r} has no name")
    return name, value


disk_size = worded(_disk_size)
label = worded(_label)


def _key(text: str) -> str:
    """An idempotency key. An empty one is refused: a script forgot to set a variable."""
    if not text:
        raise ValueError("the key is empty")
    return text


def plan_spec(arguments: Arguments, command: Facts | None) -> Facts:
    """The MachineSpec of the API, with the fields that the user gave."""
    values = {field: getattr(arguments, option, None) for option, field in _SPEC_FIELDS.items()}
    spec: Facts = {
        field: value for field, value in values.items() if value is not None and value is not False
    }
    if command is not None and arguments.entrypoint is not None:
        command["entrypoint"] = [arguments.entrypoint] if arguments.entrypoint else []
    if arguments.label:
        spec["labels"] = dict(arguments.label)
    if arguments.init is not None:
        spec["init"] = arguments.init or "agent"
    spec |= _plan_processors(arguments.cpus, arguments.cpu_limit) | _plan_healthcheck(arguments)
    spec |= _plan_networks(arguments.network or [], arguments.network_alias or [])
    spec |= _plan_secrets(arguments.secret)
    spec |= _plan_mounts(arguments.volume or [], arguments.mount or [], arguments.tmpfs or [])
    return {"image": _image(arguments.image), **spec} | ({"command": command} if command else {})


def _plan_processors(cpus: float | None, limit: float | None) -> Facts:
    """A fraction of a processor is a limit for the next whole number of processors."""
    if cpus is None:
        return {}
    whole = int(cpus)
    if whole == cpus:
        return {"cpus": whole}
    return {"cpus": whole + 1, "cpu_limit": limit or cpus}


def _plan_healthcheck(arguments: Arguments) -> Facts:
    given = {
        field: value
        for field, value in (
            ("interval_s", arguments.health_interval),
            ("timeout_s", arguments.health_timeout),
            ("retries", arguments.health_retries),
            ("start_period_s", arguments.health_start_period),
            ("start_interval_s", arguments.health_start_interval),
        )
        if value is not None
    }
    if arguments.health_cmd:
        return {"healthcheck": {"test": ["/bin/sh", "-c", arguments.health_cmd], **given}}
    if given:
        raise Error("bad_spec", "these options of a healthcheck need a command", "add --health-cmd CMD")
    return {}


def _plan_networks(words: list[str], aliases: list[str]) -> Facts:
    """The fields of the spec for what the user gave as --network: one policy at most, and names."""
    policies = [word for word in words if word in _POLICIES]
    names = list(dict.fromkeys(word for word in words if word not in _POLICIES))
    if len(set(policies)) > 1:
        raise Error("bad_spec", f"--network is given with {' and '.join(policies)}", "choose one of them")
    if aliases and not names:
        raise Error("bad_spec", "--network-alias needs a named network", "add --network NAME")
    planned: Facts = {"network": policies[0]} if policies else {}
    if names:
        planned["networks"] = [{"network": name, "aliases": aliases} for name in names]
    return planned


def _plan_mounts(volumes: list[str], mounts: list[str], tmpfs: list[str]) -> Facts:
    if not volumes and not mounts:
        return {}
    from banger.cli.failure import warn
    from banger.cli.mounts import read_mounts, read_volumes

    notes: list[str] = []
    given, more_tmpfs = read_mounts(mounts)
    given = [*read_volumes(volumes, notes), *given]
    planned: Facts = {"mounts": [one for one in given if "source" in one]}
    if named := [one for one in given if "volume" in one]:
        planned["volumes"] = named
    for note in notes:
        warn(note)
    return planned | ({"tmpfs": [*tmpfs, *more_tmpfs]} if more_tmpfs else {})


def _plan_secrets(words: list[str] | None) -> Facts:
    if not words:
        return {}
    from banger.cli.secret_words import read_secrets

    return {"secrets": read_secrets(words)}


def _image(ref: str) -> str:
    if ":" not in ref:
        return ref
    from banger.cli.verbs.images import absolute_ref

    return absolute_ref(ref)


def _run(arguments: Arguments) -> int:
    if not arguments.detach:
        imply_terminal(arguments)
    from banger.cli.attachment import Attachment
    from banger.client.calls import machines_run_target

    request: Facts = {"spec": plan_spec(arguments, prepare_command(arguments)), "detach": arguments.detach}
    watch = _stopwatch(arguments)
    _prepare(arguments)
    ending = Attachment(
        Daemon().stream(machines_run_target(), request),
        stdin=arguments.interactive and not arguments.detach,
        terminal=None if arguments.detach else own_terminal(arguments),
        keep=not arguments.rm,
        quiet=arguments.quiet,
        detach_keys=arguments.detach_keys,
        made=_note_made(arguments.cidfile),
    ).run()
    _say_what_goes_on(ending, arguments.detach)
    if ending.exited and ending.exited.denials:
        from banger.cli.denials import warn_of_denials

        warn_of_denials(ending.exited.denials)
    if watch and ending.exited:
        watch.report(ending.exited.timings_ms)
    return ending.code


def _prepare(arguments: Arguments) -> None:
    """What --platform, --pull and --cidfile need before there is a machine; loaded only for them."""
    if arguments.platform or arguments.pull != "missing" or arguments.cidfile:
        from banger.cli.preparing import prepare_cidfile, settle_platform, settle_pull

        settle_platform(arguments.platform)
        prepare_cidfile(arguments.cidfile)
        settle_pull(arguments.pull, _image(arguments.image), arguments.quiet)


def _note_made(cidfile: str | None) -> Callable[[str], None] | None:
    if cidfile is None:
        return None
    from banger.cli.preparing import write_cidfile

    return lambda machine: write_cidfile(cidfile, machine)


def _stopwatch(arguments: Arguments) -> Stopwatch | None:
    if not arguments.timings:
        return None
    from banger.cli.timings import Stopwatch

    return Stopwatch()


def _say_what_goes_on(ending: Ending, detached: bool) -> None:
    if detached and ending.machine_goes_on:
        print(printable(ending.machine), flush=True)
    elif ending.machine_goes_on:
        from banger.cli.failure import warn

        warn(f"{ending.machine} keeps running; come back with `banger vm attach {ending.machine}`")


def _create(arguments: Arguments) -> int:
    from banger.cli.output import print_json
    from banger.client.calls import machines_create

    command = prepare_command(arguments) if _describes_command(arguments) else None
    spec = plan_spec(arguments, command)
    _prepare(arguments)
    machine = Daemon().record(machines_create(**spec, idempotency_key=arguments.idempotency_key))
    if note := _note_made(arguments.cidfile):
        note(str(machine.get("name", "")))
    if arguments.json:
        print_json(machine)
    else:
        print(printable(str(machine.get("name", ""))))
    return 0


def _describes_command(arguments: Arguments) -> bool:
    names = ("command", "entrypoint", "env", "env_file", "workdir", "user", "interactive", "tty", "timeout")
    return any(getattr(arguments, name) for name in names)


RUN = Verb(
    _run_arguments,
    _run,
    "banger vm run --rm debian-bookworm -- uname -a\nbanger run -it --cpus 2 --memory 1GiB debian-bookworm bash",
    command_after=1,
    help_names=("--help",),
    foreign=True,
)
CREATE = Verb(
    _create_arguments,
    _create,
    "banger vm create --name dev --disk 8GiB debian-bookworm",
    command_after=1,
    help_names=("--help",),
    foreign=True,
)
