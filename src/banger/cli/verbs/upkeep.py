"""Disk space: `image prune`, `image cache prune`, `system df`."""

from __future__ import annotations

from banger.cli.daemon import Daemon
from banger.cli.failure import warn
from banger.cli.output import print_json, print_table, printable
from banger.cli.parser import Arguments, Parser, Verb, json_flag
from banger.client import calls
from banger.model.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def _prune_arguments(parser: Parser) -> None:
    parser.flag("-f", "--force", action="store_true", help="accepted as in Docker: this verb never asks")
    parser.flag("--dry-run", action="store_true", help="remove nothing; print what would be removed")
    json_flag(parser)


def _prune(arguments: Arguments) -> int:
    pruned = Daemon().record(calls.images_prune(arguments.dry_run))
    return print_pruned(pruned, "disk(s)", arguments.json)


def _cache_arguments(parser: Parser) -> None:
    parser.positional("action", metavar="prune", choices=("prune",), help="remove the compressed layers")
    _prune_arguments(parser)


def _cache(arguments: Arguments) -> int:
    pruned = Daemon().record(calls.images_prune_blobs(arguments.dry_run))
    return print_pruned(pruned, "blob(s)", arguments.json)


def print_pruned(pruned: Json, what: str, as_json: bool) -> int:
    """Print how many of `what` were removed (or would be), and how much space that frees."""
    if as_json:
        print_json(pruned)
        return 1 if pruned.get("kept") else 0
    verb = "would free" if pruned.get("dry_run") else "freed"
    freed = size_of(pruned, "freed_bytes")
    print(
        printable(f"{verb} {freed} across {pruned.get('count', 0)} {what} in {pruned.get('directory', '')}")
    )
    kept = pruned.get("kept")
    for path in kept if isinstance(kept, list) else ():
        warn(f"not removed: {path}; the daemon's log says why, and the next prune tries again")
    return 1 if kept else 0


def _df_arguments(parser: Parser) -> None:
    parser.flag(
        "-v", "--verbose", action="store_true", help="accepted as in Docker: `banger images` has each image"
    )
    json_flag(parser)


def _df(arguments: Arguments) -> int:
    usage = Daemon().record(calls.system_disk_usage())
    if arguments.json:
        print_json(usage)
        return 0
    rooms = usage.get("rooms")
    rows = [_row(room) for room in rooms if isinstance(room, dict)] if isinstance(rooms, list) else []
    print_table(("what", "count", "size", "reclaimable"), rows)
    print(f"{size_of(usage, 'free_bytes')} free")
    return 0


def _row(room: Json) -> tuple[str, str, str, str]:
    return str(room["kind"]), str(room["count"]), size_of(room, "bytes"), size_of(room, "reclaimable_bytes")


def size_of(record: Json, field: str) -> str:
    """A field with bytes, as a size for people."""
    value = record.get(field)
    return format_size(value) if isinstance(value, int) else "?"


PRUNE = Verb(_prune_arguments, _prune, "banger image prune --dry-run")
CACHE = Verb(_cache_arguments, _cache, "banger image cache prune --dry-run")
DF = Verb(_df_arguments, _df, "banger system df")
