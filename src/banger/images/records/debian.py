"""A Debian system in a directory, built from the signed archive by mmdebstrap.

The result depends on the archive's package versions and on this file, not on the host: the host's name, resolver and
proxies are not copied, and files that the build writes have the recipe's time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.catalogs.shelf import Found
from banger.errors import Error, ToolFailed
from banger.host.apt import KEYRING, AptTree, Mirrors, Package, acquire_options, plan_sources, require_keyring
from banger.host.jail import CHANGE_ALL, READ_ALL, WRITE_ALL, Jail, bounds_of_helper
from banger.host.run import run
from banger.images.records.namespace import prepare_as_root, prepare_contained
from banger.model.catalog import DebianSource, ImageEntry
from banger.model.operation import Report

# Part of the digest of an image: raise this when the recipe below changes.
RECIPE = 3
_TIMEOUT_S = 3600
# With this hook the archive's usr-is-merged is installed instead of usrmerge, which needs all of perl.
_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_SOURCES = "debian.sources"

# Runs as root in the finished tree, in a jail: packages made the tree, with all the links in it. mmdebstrap copies the
# host's resolv.conf and hostname, with their modes.
_FINISH = r"""
cd "$1"
rm -f etc/resolv.conf etc/hostname etc/machine-id var/lib/dbus/machine-id
rm -f etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap var/lib/systemd/random-seed
mv "etc/apt/sources.list.d/0000$3" "etc/apt/sources.list.d/$3"
: > etc/machine-id
: > etc/resolv.conf
echo debian > etc/hostname
chmod 644 etc/machine-id etc/resolv.conf etc/hostname "etc/apt/sources.list.d/$3"
find dev -mindepth 1 -delete
find . -newer "$4" -exec touch -h -d "@$2" {} +
"""


@dataclass(frozen=True)
class DebianImage:
    """A minimal system of a Debian suite with `packages`, and with units to `enable`. Files that the build itself
    writes get the time `epoch` (seconds since 1970). `name` is the image's name on this host."""

    name: str
    suite: str
    packages: tuple[str, ...]
    epoch: int
    architecture: str
    enable: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """What the result depends on; not the name."""
        return repr((self.suite, self.packages, self.epoch, self.architecture, self.enable))


def recipe_of(found: Found[ImageEntry], source: DebianSource) -> DebianImage:
    return DebianImage(
        name=found.name,
        suite=source.suite,
        packages=source.packages,
        epoch=source.epoch,
        architecture=found.entry.architecture,
        enable=source.enable,
    )


class Plan:
    """The packages that an image would consist of. `digest` tells whether an existing image is still current."""

    def __init__(self, recipe: DebianImage, packages: Sequence[Package]) -> None:
        self.recipe = recipe
        self.packages = packages
        lines = [f"{RECIPE} {recipe.identity}", *(f"{p.name} {p.version}" for p in packages)]
        self.digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def source(self) -> str:
        """The `source` in the image's record; the same for all mirrors."""
        return f"Debian {self.recipe.suite}, {len(self.packages)} packages, set sha256:{self.digest}"


async def prepare_image(recipe: DebianImage, tree: AptTree) -> Plan:
    """Plan from updated package lists. Raises `download_failed`."""
    wanted = ["?essential", "?priority(required)", "apt", *_included(recipe)]
    return Plan(recipe, await tree.prepare_install(wanted))


async def build_tree(plan: Plan, mirrors: Mirrors, work: Path, report: Report) -> Path:
    """Build the root directory of a system inside `work`, and return it. Raises `image_build_failed`,
    `tool_missing`."""
    recipe, root = plan.recipe, work / "root"
    sources = work / _SOURCES
    sources.write_text(plan_sources(mirrors, recipe.suite, require_keyring()))
    acquire = work / "acquire.conf"
    acquire.write_text((await acquire_options()) or "# none\n")
    started = work / "started"
    started.touch()
    progress = BuildProgress(report, len(plan.packages))
    try:
        await run(
            prepare_contained(prepare_mmdebstrap(recipe, root, sources, acquire)),
            env={"SOURCE_DATE_EPOCH": str(recipe.epoch), "TMPDIR": str(work)},
            timeout_s=_TIMEOUT_S,
            on_line=progress.read_line,
        )
        report("finish", recipe.name)
        finish = ["sh", "-euc", _FINISH, "sh", str(root), str(recipe.epoch), _SOURCES, str(started)]
        finishing = Jail(
            read=(started,),
            trees=(root,),
            capabilities=(READ_ALL, WRITE_ALL, CHANGE_ALL),
            bounds=bounds_of_helper(),
        )
        await run(finish, before=prepare_as_root([]), jail=finishing, timeout_s=300)
    except ToolFailed as exc:
        raise Error(
            "image_build_failed",
            f"building {recipe.name} failed: {progress.last_error or exc.message}",
            "check the network and the mirrors; the daemon's log has the whole command",
            exc.details,
        ) from exc
    return root


def prepare_mmdebstrap(recipe: DebianImage, root: Path, sources: Path, acquire: Path) -> list[str]:
    """Mode root, in a namespace of its own: there one cancellation ends all processes, and the tree stays readable for
    the next step. Device nodes are left out; the guest's devtmpfs has them."""
    hooks = [f"--hook-dir={_MERGED_USR}"] if _MERGED_USR.is_dir() else []
    return [
        *("mmdebstrap", "--verbose", "--mode=root", "--variant=minbase", "--format=directory"),
        *(f"--architectures={recipe.architecture}", f"--include={','.join(recipe.packages)}"),
        *hooks,
        "--skip=output/dev,chroot/mount/sys",
        f"--keyring={KEYRING}",
        f"--aptopt={acquire}",
        "--dpkgopt=force-unsafe-io",
        '--customize-hook=chroot "$1" passwd --lock root',
        # These units look for LVM snapshots, which takes seconds of each boot without KVM.
        '--customize-hook=chroot "$1" systemctl disable e2scrub_reap.service e2scrub_all.timer',
        *(
            [f'--customize-hook=chroot "$1" systemctl enable {" ".join(recipe.enable)}']
            if recipe.enable
            else []
        ),
        *(recipe.suite, str(root), str(sources)),
    ]


class BuildProgress:
    """Turns the lines of mmdebstrap and apt into progress. Pure except for calls of `report`."""

    _PHASES = ((re.compile(r"Get:\d+ \S+ \S+ \S+ (?P<name>\S+) \S+ \S+ \["), "download"),
               (re.compile(r"Unpacking (?P<name>[^\s:]+)"), "unpack"),
               (re.compile(r"Setting up (?P<name>[^\s:]+)"), "install"))  # fmt: skip

    def __init__(self, report: Report, packages: int) -> None:
        self._report = report
        self._packages = packages
        self._done: dict[str, set[str]] = {phase: set() for _, phase in self._PHASES}
        self.last_error = ""

    def read_line(self, line: str) -> None:
        if line.startswith("E: "):
            self.last_error = line[3:]
        if line.startswith("I: "):
            self._report("build", line[3:].removesuffix("..."))
            return
        for pattern, phase in self._PHASES:
            match = pattern.match(line)
            if match:
                self._count(phase, match["name"])
                return

    def _count(self, phase: str, name: str) -> None:
        """Count a package once: apt may name it several times."""
        done = self._done[phase]
        done.add(name)
        self._report(phase, name, len(done), max(self._packages, len(done)), "packages")


def _included(recipe: DebianImage) -> list[str]:
    return [*recipe.packages, "usr-is-merged"] if _MERGED_USR.is_dir() else list(recipe.packages)
