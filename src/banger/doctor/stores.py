"""The store and the files of its records: images, kernels, leftovers; and the configuration of the user."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from banger.catalogs.shelf import PREFIX as CATALOG
from banger.catalogs.shelf import Shelf
from banger.client.calls import system_reconcile
from banger.doctor.check import Mend, Sight, advise
from banger.doctor.host import Host
from banger.doctor.records import open_store, read_records
from banger.errors import Error
from banger.host.paths import Paths
from banger.images.fetch.settings import load_settings
from banger.images.records.rootfs import PREFIX as ROOTFS
from banger.images.records.rootfs import parse_rootfs_ref
from banger.images.reference.reference import Reference, parse_source
from banger.kernels.debian import DEFAULT as USUAL_KERNEL
from banger.model.settings import read_settings
from banger.resources.kinds import look, unknown
from banger.store.migrations import STEPS

_LISTED = 3
_USUAL_IMAGE = "debian-bookworm"


def look_at_store(host: Host) -> Sight:
    path = host.paths.database
    if not path.exists():
        return Sight(f"no store yet at {path}")
    try:
        with open_store(path) as connection:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except (sqlite3.Error, OSError, UnicodeDecodeError) as exc:
        return _damaged(path, str(exc))
    if said is None or said[0] != "ok":
        return _damaged(path, str(said[0]) if said else "no answer")
    if version > len(STEPS):
        return Sight(
            f"{path} has version {version}, but this banger knows only versions up to {len(STEPS)}",
            fine=False,
            mend=advise("update banger, or set BANGER_HOME to another place"),
        )
    return Sight(f"{path} is whole, version {version} of {len(STEPS)}")


def _damaged(path: Path, why: str) -> Sight:
    command = (
        f"banger system stop; {shlex.join(['cp', '-p', str(path), f'{path}.damaged'])}; banger system start"
    )
    return Sight(f"{path} is damaged: {' '.join(why.split())}", fine=False, mend=Mend(command))


def look_at_config(host: Host) -> Sight:
    config = host.paths.config
    try:
        read_settings(config)
    except Error as exc:
        mend = advise(f"edit {config / 'config.toml'}; docs/configuration.md lists the settings")
        return Sight(exc.message, fine=False, mend=mend, why="the daemon does not start")
    try:
        load_settings(config)
    except Error as exc:
        mend = advise(f"edit {config / 'registries.toml'}; docs/registries.md lists the settings")
        return Sight(
            exc.message, fine=False, mend=mend, status="warning", why="banger pulls nothing from registries"
        )
    found = [name for name in ("config.toml", "registries.toml") if (config / name).exists()]
    return Sight(
        f"{' and '.join(found)} in {config}"
        if found
        else f"no configuration in {config}: all settings have their defaults"
    )


def look_at_image(host: Host) -> Sight:
    """The image that most machines use, and the images of all machines."""
    here = {
        str(record["name"])
        for record in _records(host, "images")
        if (host.paths.images / f"{record.get('digest', '')}.ext4").exists()
    }
    wanted = {_USUAL_IMAGE, *_asked_for(host, "image")}
    lost = sorted(ref for ref in wanted if not _has_image(host, ref, here))
    if lost:
        return Sight(
            f"neither on this host nor available elsewhere: {', '.join(lost)}",
            fine=False,
            mend=advise(
                "bring the image back under its name with banger image pull or banger image register"
            ),
        )
    is_here = _USUAL_IMAGE in here
    return Sight(f"{_USUAL_IMAGE} is here" if is_here else f"{_USUAL_IMAGE}: the first run makes it")


def _has_image(host: Host, ref: str, here: set[str]) -> bool:
    """Whether an image is on this host, in a catalog, in a registry, or made from a file that exists."""
    if ref in here or Shelf(host.paths).find_image(ref) is not None:
        return True
    if ref.startswith(CATALOG):
        return False
    try:
        if ref.startswith(ROOTFS):
            return parse_rootfs_ref(ref).directory.is_dir()
        source = parse_source(ref)
    except Error:
        return False
    return isinstance(source, Reference) or Path(getattr(source, "path", "/")).exists()


def look_at_kernel(host: Host) -> Sight:
    """The kernel that most machines use, and the kernels of all machines."""
    here = {
        str(record["name"])
        for record in _records(host, "kernels")
        if (host.paths.kernels / str(record.get("digest", "")) / "vmlinux").exists()
    }
    wanted = {USUAL_KERNEL, *_asked_for(host, "kernel")}
    shelf = Shelf(host.paths)
    lost = sorted(ref for ref in wanted if ref not in here and shelf.find_kernel(ref) is None)
    if lost:
        return Sight(
            f"neither on this host nor in a catalog: {', '.join(lost)}",
            fine=False,
            mend=advise("choose a kernel of banger kernel list, and create the machine again with --kernel"),
        )
    is_here = USUAL_KERNEL in here
    return Sight(f"{USUAL_KERNEL} is here" if is_here else f"{USUAL_KERNEL}: the first run fetches it")


def _records(host: Host, table: str) -> list[dict[str, Any]]:
    """The records of a table; empty if the store cannot be read, for which there is another check."""
    with contextlib.suppress(sqlite3.Error, OSError):
        return [record for record in read_records(host.paths.database, table) if "name" in record]
    return []


def _asked_for(host: Host, what: str) -> set[str]:
    """The images or kernels of all machines."""
    specs = [machine.get("spec") for machine in _records(host, "machines")]
    return {str(spec[what]) for spec in specs if isinstance(spec, dict) and spec.get(what)}


def look_at_leftovers(host: Host) -> Sight:
    """The leftovers that `system reconcile` finds. Without a daemon, everything on the host without a record."""
    wrong: list[str] = []
    if host.daemon.answers:
        said = host.daemon.ask(system_reconcile(dry_run=True))
        facts = said if isinstance(said, dict) else {}
        wrong = [_describe_wrong(item) for item in facts.get("machines", [])]
        wrong += [f"{item['owner']}: {item['problem']}" for item in facts.get("unreleased", [])]
        left = [f"{item['kind']} {item['what']}" for item in facts.get("leftovers", [])]
    else:
        left = list(_find_leftovers(host.paths))
    if not left and not wrong:
        return Sight("records and host agree")
    found = [*wrong, *left]
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return Sight(", ".join(found[:_LISTED]) + more, fine=False, mend=_mend_leftovers(host, bool(left)))


def _describe_wrong(machine: dict[str, Any]) -> str:
    """The finding for a machine whose record differs from the host."""
    if machine["was"] == "deleting":
        return f"machine {machine['name']} is not deleted yet"
    return f"machine {machine['name']} is not {machine['was']}"


def _mend_leftovers(host: Host, any_left: bool) -> Mend:
    """A removal cannot be undone, so the user decides."""
    if any_left or not host.daemon.answers:
        return Mend("banger system reconcile --remove")
    return Mend("banger system reconcile", act=_set_right)


def _set_right(host: Host) -> str:
    host.daemon.ask(system_reconcile())
    return "corrected the records: banger system reconcile"


def _find_leftovers(paths: Paths) -> Iterator[str]:
    before = read_records(paths.database, "resources", "identity")
    seen = look(paths)
    known = [*before, *read_records(paths.database, "resources", "identity")]
    yield from (f"{found.noun} {found.what}" for found in unknown(seen, known))
