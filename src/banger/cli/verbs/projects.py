"""Projects: `compose up|down|ps|logs|exec|start|stop|restart|config|list`.

Only `up` and `config` need the Compose file. All other verbs find the machines by their records; the file tells them at
most the name of the project.
"""

from __future__ import annotations

import os
import sys

from banger.cli.command import exec_arguments
from banger.cli.daemon import Daemon
from banger.cli.output import print_fields, print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, at_least, json_flag, seconds, worded
from banger.errors import Error, NoSuchProject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from banger.client.call import Call, Facts
    from banger.compose.project import Project
    from banger.compose.records import Member
    from banger.compose.steps import Plan

_STARTED_TAIL = 100
_HEADINGS = ("service", "name", "state", "image", "ports", "age", "exit", "reason")
_PROJECT_HEADINGS = ("project", "services", "machines", "running", "directory")


def _where(parser: Parser, *, short: bool = True, file_only_names: bool = True) -> None:
    """The options that say which project."""
    names = ("-f", "--file") if short else ("--file",)
    what = "whose project this is about" if file_only_names else "to read (-: standard input)"
    parser.flag(
        *names,
        metavar="FILE",
        action="append",
        default=[],
        help=f"Compose file {what} (default: banger.yaml or compose.yaml in this directory)",
    )
    parser.flag(
        "-p",
        "--project",
        metavar="NAME",
        default="",
        help="name of the project (default: what the file says, or the name of its directory)",
    )
    parser.flag(
        "--env-file",
        action="append",
        default=[],
        metavar="FILE",
        help="read variables from FILE instead of .env",
    )
    parser.flag(
        "--profile", action="append", default=[], metavar="NAME", help="also use services with this profile"
    )


def _services(parser: Parser) -> None:
    parser.positional("services", metavar="SERVICE", nargs="*", default=[], help="only these services")


def _grace(parser: Parser) -> None:
    parser.flag(
        "-t",
        "--timeout",
        type=seconds,
        metavar="TIME",
        help="time for each step of a clean shutdown (default: stop_grace_period of the service, or 10s)",
    )


class _Hands:
    """Carries out calls for the room `compose`, and tells on stderr what happens."""

    def __init__(self, quiet: bool) -> None:
        self.daemon = Daemon()
        self._quiet = quiet

    def call(self, call: Call[object]) -> object:
        return self.daemon.call(call)

    def finish(self, operation: object, what: str) -> None:
        from banger.cli.watching import finish_operation

        finish_operation(self.daemon, operation if isinstance(operation, dict) else {}, self._quiet)

    def say(self, target: str, what: str) -> None:
        if not self._quiet:
            print(f"{printable(target)}: {printable(what)}", file=sys.stderr, flush=True)

    def warn(self, what: str) -> None:
        from banger.cli.failure import warn

        warn(what)


def _load(arguments: Arguments, services: Sequence[str] = ()) -> Project:
    from banger.cli.verbs.images import absolute_ref
    from banger.compose.loading import Asked, load_project

    files: list[str] = arguments.file
    if len(files) > 1:
        raise Error("bad_request", "several files do not become one project", "give one --file")
    return load_project(
        Asked(
            file=files[0] if files else "",
            name=arguments.project,
            env_files=tuple(arguments.env_file),
            profiles=tuple(arguments.profile),
            services=tuple(services),
            scale=dict(getattr(arguments, "scale", ())),
            environ=os.environ,
            image=absolute_ref,
        )
    )


def _project_name(hands: _Hands, arguments: Arguments) -> str:
    """The name of the project, from an option, the file, or the records of machines that were made from here."""
    from banger.compose.converge import look
    from banger.compose.naming import plain_name

    if given := arguments.project or os.environ.get("COMPOSE_PROJECT_NAME", ""):
        return plain_name(given)
    try:
        return _load(arguments).name
    except Error as exc:
        if arguments.file and isinstance(exc, NoSuchProject):
            raise
        here = os.path.realpath(os.path.dirname(arguments.file[0]) if arguments.file else ".")
        names = {m.project for m in look(hands, "") if os.path.realpath(m.directory) == here}
        if len(names) != 1:
            raise
        return names.pop()


def _members(hands: _Hands, arguments: Arguments, services: Sequence[str] = ()) -> list[Member]:
    """The machines of the project, or of these services. Raises `service_not_found`."""
    from banger.compose.converge import look

    members = look(hands, _project_name(hands, arguments))
    known = {member.service for member in members}
    for service in services:
        if service not in known:
            raise Error(
                "service_not_found",
                f"the project has no machine of a service {service!r}",
                f"services with machines: {', '.join(sorted(known)) or 'none'}",
            )
    return [member for member in members if not services or member.service in services]


def _up_arguments(parser: Parser) -> None:
    _where(parser, file_only_names=False)
    parser.flag(
        "-d", "--detach", action="store_true", help="return when all is started; else show the output"
    )
    parser.flag("--wait", action="store_true", help="return when all services with a healthcheck are healthy")
    parser.flag(
        "--wait-timeout",
        type=seconds,
        metavar="TIME",
        help="give up when a service takes longer than this to become healthy or complete (default: 10m, or longer if "
        "its healthcheck allows longer)",
    )
    parser.flag(
        "--scale",
        type=worded(_scale),
        action="append",
        default=[],
        metavar="SERVICE=N",
        help="make N machines of a service, whatever the file says",
    )
    parser.flag("--force-recreate", action="store_true", help="make machines again that did not change, too")
    parser.flag(
        "--remove-orphans", action="store_true", help="delete machines of services that the file has not"
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    _services(parser)


def _scale(text: str) -> tuple[str, int]:
    name, equals, count = text.partition("=")
    if not equals or not (count.isascii() and count.isdigit()) or int(count) > 256:
        raise ValueError(f"{text!r} is not of the form SERVICE=N, with N up to 256")
    return name, int(count)


def _up(arguments: Arguments) -> int:
    from banger.compose.converge import WAIT_S, Up, look_settled
    from banger.compose.plan import plan_up

    project = _load(arguments, arguments.services)
    hands = _Hands(arguments.quiet)
    for warning in project.warnings:
        hands.warn(warning)
    members = look_settled(hands, project.name, arguments.wait_timeout or WAIT_S)
    _warn_of_elsewhere(hands, project, members)
    plan = plan_up(project, members, force=arguments.force_recreate)
    up = Up(hands, project, limit_s=arguments.wait_timeout)
    up.carry_out(plan, remove_orphans=arguments.remove_orphans, wait=arguments.wait)
    return 0 if arguments.detach or arguments.wait else _attach(hands, project, plan)


def _warn_of_elsewhere(hands: _Hands, project: Project, members: Sequence[Member]) -> None:
    others = {m.directory for m in members if m.directory != project.directory}
    if others:
        hands.warn(
            f"the project {project.name} has machines from {' and '.join(sorted(others))}; "
            "another --project keeps the two apart"
        )


def _attach(hands: _Hands, project: Project, plan: Plan) -> int:
    """Show the output of all machines until they have ended; Ctrl-C stops them."""
    from banger.cli.failure import INTERRUPTED
    from banger.cli.merged_logs import Source, print_merged
    from banger.compose.converge import look, stop
    from banger.compose.records import in_stages

    tails = {"keep": 0, "start": _STARTED_TAIL, "make": None, "remake": None}
    sources = [
        Source(step.name, _short(step.name, project.name), tails[step.action])
        for stage in plan.stages
        for step in stage
    ]
    try:
        print_merged(sources, follow=True)
    except KeyboardInterrupt:
        hands.warn("stopping; Ctrl-C once more leaves the machines running")
        names = {source.machine for source in sources}
        members = [member for member in look(hands, project.name) if member.name in names]
        for stage in reversed(in_stages(members)):
            stop(hands, stage, None)
        return INTERRUPTED
    return 0


def _short(machine: str, project: str) -> str:
    return machine.removeprefix(f"{project}-")


def _down_arguments(parser: Parser) -> None:
    _where(parser)
    _grace(parser)
    parser.flag(
        "-v", "--volumes", action="store_true", help="delete the volumes that were made for the project, too"
    )
    parser.flag(
        "--remove-orphans",
        action="store_true",
        help="accepted; machines of all services are deleted",
    )
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")


def _down(arguments: Arguments) -> int:
    from banger.compose.converge import down

    hands = _Hands(arguments.quiet)
    name = _project_name(hands, arguments)
    if not down(hands, name, arguments.timeout, volumes=arguments.volumes):
        hands.warn(f"the project {name} has no machines and no networks")
    return 0


def _ps_arguments(parser: Parser) -> None:
    _where(parser)
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)
    _services(parser)


def _ps(arguments: Arguments) -> int:
    members = _members(_Hands(True), arguments, arguments.services)
    if arguments.json:
        print_json([member.record for member in members])
    elif arguments.quiet:
        for member in members:
            print(printable(member.name))
    else:
        print_table(_HEADINGS, [_row(member) for member in members])
    return 0


def _row(member: Member) -> tuple[str, ...]:
    from banger.cli.verbs.listing import machine_row

    named, state, image, _, _, _, ports, aged, code, reason = machine_row(dict(member.record))
    return (member.service, named, state, image, ports, aged, code, reason)


def _logs_arguments(parser: Parser) -> None:
    from banger.cli.verbs.logs import window_flags

    _where(parser, short=False)
    parser.flag("-f", "--follow", action="store_true", help="keep printing until the machines stop")
    window_flags(parser, " of each machine")
    parser.flag("--no-log-prefix", action="store_true", help="print no names before lines")
    _services(parser)


def _logs(arguments: Arguments) -> int:
    from banger.cli.failure import report
    from banger.cli.merged_logs import Source, Window, print_merged

    members = _members(_Hands(True), arguments, arguments.services)
    sources = [Source(m.name, _short(m.name, m.project), arguments.tail) for m in members]
    window = Window(arguments.since or "", arguments.until or "", arguments.timestamps)
    errors = print_merged(sources, arguments.follow, not arguments.no_log_prefix, window)
    return max(map(report, errors), default=0)


def _exec_arguments(parser: Parser) -> None:
    _where(parser)
    parser.flag(
        "--index", type=at_least(1), metavar="N", help="number of the machine (default: the first that runs)"
    )
    exec_arguments(parser, "service", "service to run the command in", env_file=False)


def _exec(arguments: Arguments) -> int:
    """As `vm exec`, which has user, directory and variables of the service."""
    from banger.cli.verbs.execute import EXEC as EXEC_IN_MACHINE

    member = _one(_members(_Hands(True), arguments, [arguments.service]), arguments.index)
    arguments.name, arguments.env_file = member.name, []
    return EXEC_IN_MACHINE.action(arguments)


def _one(members: Sequence[Member], index: int | None) -> Member:
    """The machine with this number, or the first that runs. Raises `service_not_found`."""
    for member in members:
        if member.number == index or (index is None and member.is_running):
            return member
    if index is None:
        return members[0]  # `vm exec` says why not
    numbers = " ".join(str(member.number) for member in members)
    raise Error(
        "service_not_found", f"{members[0].service} has no machine number {index}", f"numbers: {numbers}"
    )


def _change_arguments(parser: Parser) -> None:
    _where(parser)
    parser.flag("-q", "--quiet", action="store_true", help="show no progress")
    _services(parser)


def _stop_arguments(parser: Parser) -> None:
    _grace(parser)
    _change_arguments(parser)


def _start(arguments: Arguments) -> int:
    from banger.compose.converge import start

    hands = _Hands(arguments.quiet)
    start(hands, _members(hands, arguments, arguments.services))
    return 0


def _stop(arguments: Arguments) -> int:
    from banger.compose.converge import stop
    from banger.compose.records import in_stages

    hands = _Hands(arguments.quiet)
    for stage in reversed(in_stages(_members(hands, arguments, arguments.services))):
        stop(hands, stage, arguments.timeout)
    return 0


def _restart(arguments: Arguments) -> int:
    from banger.compose.converge import restart

    hands = _Hands(arguments.quiet)
    restart(hands, _members(hands, arguments, arguments.services), arguments.timeout)
    return 0


def _config_arguments(parser: Parser) -> None:
    _where(parser, file_only_names=False)
    parser.flag("-q", "--quiet", action="store_true", help="only check the file")
    parser.flag("--services", dest="only_names", action="store_true", help="print the names of services only")
    parser.flag("--show-env", action="store_true", help="show the values of variables, too")
    json_flag(parser)


def _config(arguments: Arguments) -> int:
    project = _load(arguments)
    for warning in project.warnings:
        from banger.cli.failure import warn

        warn(warning)
    if arguments.only_names:
        for name in project.services:
            print(printable(name))
    elif not arguments.quiet:
        _print_config(project, arguments)
    return 0


def _print_config(project: Project, arguments: Arguments) -> None:
    from banger.cli.output import withhold

    meaning = _meaning(project)
    if arguments.json:
        print_json(meaning, arguments.show_env)
    else:
        print_fields(meaning if arguments.show_env else withhold(meaning))


def _meaning(project: Project) -> Facts:
    """The machines, networks and secrets that the file asks for, without values of secrets."""
    from dataclasses import asdict, replace

    from banger.compose.plan import plan_spec

    services = {
        service.name: {
            "depends_on": [asdict(dependency) for dependency in service.depends_on],
            "machines": [plan_spec(project, service, number) for number in range(1, service.replicas + 1)],
        }
        for service in project.services.values()
    }
    networks = [asdict(network) for network in project.networks.values()]
    volumes = [asdict(volume) for volume in project.volumes.values()]
    secrets = [asdict(replace(secret, value=None)) for secret in project.secrets.values()]
    return {
        "name": project.name,
        "directory": project.directory,
        "networks": networks,
        "volumes": volumes,
        "secrets": secrets,
        "services": services,
    }


def _list_arguments(parser: Parser) -> None:
    parser.flag("-q", "--quiet", action="store_true", help="print names only")
    json_flag(parser)


def _list(arguments: Arguments) -> int:
    from banger.compose.converge import look

    by_project: dict[str, list[Member]] = {}
    for member in look(_Hands(True), ""):
        by_project.setdefault(member.project, []).append(member)
    projects = [_summary(name, members) for name, members in by_project.items()]
    if arguments.json:
        print_json(projects)
    elif arguments.quiet:
        for project in projects:
            print(printable(project["project"]))
    else:
        print_table(_PROJECT_HEADINGS, [[str(project[h]) for h in _PROJECT_HEADINGS] for project in projects])
    return 0


def _summary(name: str, members: Sequence[Member]) -> Facts:
    return {
        "project": name,
        "services": len({member.service for member in members}),
        "machines": len(members),
        "running": sum(member.is_running for member in members),
        "directory": members[0].directory,
    }


UP = Verb(_up_arguments, _up, "banger up -d\nbanger compose up --scale web=3 web")
DOWN = Verb(_down_arguments, _down, "banger down\nbanger compose down -p shop")
PS = Verb(_ps_arguments, _ps, "banger compose ps\nbanger compose ps --json -p shop")
LOGS = Verb(_logs_arguments, _logs, "banger compose logs -f web db\nbanger compose logs -t --since 10m")
EXEC = Verb(
    _exec_arguments,
    _exec,
    "banger compose exec db -- psql -l\nbanger compose exec --index 2 web",
    command_after=1,
)
START = Verb(_change_arguments, _start, "banger compose start\nbanger compose start db")
STOP = Verb(_stop_arguments, _stop, "banger compose stop web")
RESTART = Verb(_stop_arguments, _restart, "banger compose restart web")
CONFIG = Verb(_config_arguments, _config, "banger compose config\nbanger compose config -q -f compose.yaml")
LIST = Verb(_list_arguments, _list, "banger compose list")
