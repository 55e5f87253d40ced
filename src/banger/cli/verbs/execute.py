"""`vm exec` and `vm attach`."""

from __future__ import annotations

from banger.cli.command import detach_option, exec_arguments, imply_terminal, own_terminal, prepare_command
from banger.cli.daemon import Daemon
from banger.cli.output import printable
from banger.cli.parser import Arguments, Parser, Verb, exec_flag
from banger.client.calls import machines_attach_target, machines_exec_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def _exec_arguments(parser: Parser) -> None:
    exec_arguments(parser, "name", "name or id of the machine")


def _attach_arguments(parser: Parser) -> None:
    parser.flag("--no-stdin", action="store_true", help="only watch; pass no input to the command")
    exec_flag(parser, "attach to the command with this number instead of the main command")
    detach_option(parser)
    parser.positional("name", metavar="NAME", help="name or id of the machine")


def _exec(arguments: Arguments) -> int:
    if arguments.detach:
        return _exec_detached(arguments)
    imply_terminal(arguments)
    from banger.cli.attachment import Attachment

    stream = Daemon().stream(machines_exec_target(arguments.name), {"command": prepare_command(arguments)})
    ending = Attachment(
        stream,
        arguments.name,
        stdin=arguments.interactive,
        terminal=own_terminal(arguments),
        detach_keys=arguments.detach_keys,
    ).run()
    if ending.machine_goes_on:
        _say_it_goes_on(arguments.name, ending.exec_id)
    return ending.code


def _say_it_goes_on(name: str, exec_id: int) -> None:
    from banger.cli.failure import warn

    warn(
        f"command {exec_id} of {name} keeps running; come back with `banger vm attach --exec {exec_id} {name}`"
    )


def _exec_detached(arguments: Arguments) -> int:
    from banger.client.calls import machines_exec_detached

    command = prepare_command(arguments)
    made = Daemon().record(machines_exec_detached(arguments.name, command))
    print(printable(str(made.get("id", ""))))
    return 0


def _attach(arguments: Arguments) -> int:
    from banger.cli.attachment import Attachment
    from banger.client.calls import machines_get, machines_get_exec

    daemon = Daemon()
    if arguments.exec is None:
        command = _main_command(daemon.record(machines_get(arguments.name)))
    else:
        command = daemon.record(machines_get_exec(arguments.name, arguments.exec))
    arguments.tty = bool(command.get("tty"))
    arguments.interactive = bool(command.get("stdin")) and not arguments.no_stdin
    ending = Attachment(
        daemon.stream(
            machines_attach_target(arguments.name), {} if arguments.exec is None else {"exec": arguments.exec}
        ),
        arguments.name,
        stdin=arguments.interactive,
        terminal=own_terminal(arguments),
        keep=True,
        detach_keys=arguments.detach_keys,
    ).run()
    if ending.machine_goes_on and arguments.exec is not None:
        _say_it_goes_on(arguments.name, arguments.exec)
    elif ending.machine_goes_on:
        from banger.cli.failure import warn

        warn(f"{ending.machine} keeps running; come back with `banger vm attach {ending.machine}`")
    return ending.code


def _main_command(machine: Json) -> Json:
    spec = machine.get("spec")
    command = spec.get("command") if isinstance(spec, dict) else None
    return command if isinstance(command, dict) else {}


EXEC = Verb(
    _exec_arguments,
    _exec,
    "banger vm exec dev -- ls -l /\ntar c . | banger exec -i dev -- tar x -C /srv",
    command_after=1,
    foreign=True,
)
ATTACH = Verb(_attach_arguments, _attach, "banger vm attach dev\nbanger vm attach --exec 5 dev")
