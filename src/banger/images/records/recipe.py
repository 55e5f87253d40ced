"""What is to be built of Debian's archive: an entry of a catalog with one of its sources, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from banger.catalogs.shelf import Found
from banger.model.catalog import DebianSource, ImageEntry


@dataclass(frozen=True)
class DebianImage:
    """A Debian suite's minimal system and `packages`, with units to `enable`. `epoch` (seconds since 1970) is the time
    that files get which the build itself writes. `name` is what it is called here."""

    name: str
    suite: str
    packages: tuple[str, ...]
    epoch: int
    architecture: str
    enable: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Of what is built; not what it is called."""
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
