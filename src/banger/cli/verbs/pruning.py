"""`system prune` and `vm prune`: what nothing uses goes, after the user has seen it."""

from __future__ import annotations

from banger.cli.asking import confirm
from banger.cli.daemon import Daemon
from banger.cli.failure import for_each
from banger.cli.output import print_json, printable
from banger.cli.parser import Arguments, Parser, Verb
from banger.client import calls
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.messages import Json

_ENDED = ("stopped", "failed", "created")


def _options(parser: Parser) -> None:
    parser.flag("-f", "--force", action="store_true", help="do not ask")
    parser.flag("--dry-run", action="store_true", help="remove nothing; print what would be removed")


def _prune_arguments(parser: Parser) -> None:
    parser.flag(
        "-a",
        "--all",
        action="store_true",
        help="remove all templates and the compressed layers of registries, too",
    )
    parser.flag(
        "--machines", action="store_true", help="delete machines that do not run, and their disks, too"
    )
    parser.flag(
        "--volumes", action="store_true", help="delete volumes that no machine mounts, with their files, too"
    )
    _options(parser)


def _prune(arguments: Arguments) -> int:
    """Without --force, show what would go, and ask."""
    daemon = Daemon()
    machines = _ended(daemon) if arguments.machines else []
    if arguments.dry_run or not arguments.force:
        plan = [_one(daemon, what, call) for what, call in _rooms(arguments.all, dry_run=True)]
        others = _others(daemon, arguments.volumes, dry_run=True)
        if arguments.dry_run and arguments.json:
            print_json({"machines": machines, **others, "rooms": plan})
            return 0
        _say(plan, machines, others, "would be removed")
        if arguments.dry_run:
            return 0
        _ask()
    code = _delete(daemon, machines, quiet=True)
    others = _others(daemon, arguments.volumes, dry_run=False)
    done = [_one(daemon, what, call) for what, call in _rooms(arguments.all, dry_run=False)]
    if arguments.json:
        print_json({"machines": machines, **others, "rooms": done})
    else:
        _say(done, machines, others, "removed")
    return code or (1 if any(room.get("kept") for room in done) else 0)


def _rooms(everything: bool, dry_run: bool) -> list[tuple[str, Call[object]]]:
    rooms: list[tuple[str, Call[object]]] = [
        ("disks of images", calls.images_prune(dry_run)),
        ("templates", calls.templates_prune(everything, dry_run)),
    ]
    return [*rooms, ("compressed layers", calls.images_prune_blobs(dry_run))] if everything else rooms


def _one(daemon: Daemon, what: str, call: Call[object]) -> Json:
    return {"what": what, **daemon.record(call)}


def _others(daemon: Daemon, volumes: bool, dry_run: bool) -> dict[str, list[Json]]:
    """Networks, and volumes if the user named these: nothing else has a copy of what they have."""
    others = {"networks": daemon.records(calls.networks_prune(dry_run))}
    return others | ({"volumes": daemon.records(calls.volumes_prune(dry_run))} if volumes else {})


def _say(rooms: list[Json], machines: list[str], others: dict[str, list[Json]], verb: str) -> None:
    named = {what: [str(record.get("name")) for record in records] for what, records in others.items()}
    for what, names in {"machines": machines, **named}.items():
        print(printable(f"{what} {verb}: {' '.join(names) or 'none'}"))
    freed = 0
    for room in rooms:
        size_bytes = room.get("freed_bytes")
        freed += size_bytes if isinstance(size_bytes, int) else 0
        print(printable(f"{room['what']} {verb}: {room.get('count', 0)}"))
    print(f"space {'freed' if verb == 'removed' else 'that this frees'}: {format_size(freed)}", flush=True)


def _ask() -> None:
    confirm("Remove all this?", "nothing was removed", "add --force, or --dry-run")


def _ended(daemon: Daemon) -> list[str]:
    return [
        str(one.get("name")) for one in daemon.records(calls.machines_list()) if one.get("state") in _ENDED
    ]


def _delete(daemon: Daemon, names: list[str], quiet: bool) -> int:
    def one(name: str) -> None:
        daemon.call(calls.machines_delete(name))
        if not quiet:
            print(printable(name), flush=True)

    return for_each(names, one)


def _machine_prune(arguments: Arguments) -> int:
    daemon = Daemon()
    names = _ended(daemon)
    if arguments.dry_run or not arguments.force:
        print(printable(f"machines that would be deleted: {' '.join(names) or 'none'}"), flush=True)
        if arguments.dry_run or not names:
            return 0
        _ask()
    return _delete(daemon, names, quiet=False)


PRUNE = Verb(_prune_arguments, _prune, "banger system prune --dry-run\nbanger prune -f")
MACHINE_PRUNE = Verb(_options, _machine_prune, "banger vm prune --dry-run")
