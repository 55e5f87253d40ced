"""Who needs an image or a kernel: machines that run from it or will, and snapshots that may be gone back to."""

from __future__ import annotations

from collections.abc import Sequence

from banger.machines.parts import Parts
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.template import Snapshot


def users_of_image(parts: Parts, snapshots: Sequence[Snapshot], image: Image) -> list[str]:
    """Names of machines whose disk lies over this image's, or will, and of snapshots."""

    def needs(machine: Machine) -> bool:
        if machine.image_digest:
            return machine.image_digest == image.digest
        wanted = parts.images.find(machine.spec.image)
        return wanted is not None and wanted.name == image.name

    machines = [machine.name for machine in parts.registry.all() if needs(machine)]
    return machines + [_name(s) for s in snapshots if s.shape.image_digest == image.digest]


def users_of_kernel(parts: Parts, snapshots: Sequence[Snapshot], name: str) -> list[str]:
    machines = [m.name for m in parts.registry.all() if name in (m.kernel, m.spec.kernel)]
    return machines + [_name(s) for s in snapshots if s.kernel == name]


def used_image_digests(parts: Parts, snapshots: Sequence[Snapshot]) -> frozenset[str]:
    machines = {machine.image_digest for machine in parts.registry.all()}
    return frozenset(machines | {s.shape.image_digest for s in snapshots})


def _name(snapshot: Snapshot) -> str:
    return f"snapshot {snapshot.machine}:{snapshot.tag}"
