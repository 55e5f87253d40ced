"""What a frozen machine depends on, and the name that gives it."""

from __future__ import annotations

import hashlib

import msgspec

from banger.host import cpu
from banger.model.image import Image, Kernel
from banger.model.template import Shape
from banger.vmm.base import Driver, VmConfig

# What we do before the freeze: a change there makes other templates.
_FORMAT = 1
# A root disk has this size at the freeze, so that clones of the usual size need not grow it.
USUAL_DISK_BYTES = 4 << 30


async def plan_shape(image: Image, kernel: Kernel, config: VmConfig, driver: Driver, init: str) -> Shape:
    """`config` is what a machine asks for; clones of one shape may differ in nothing but a larger disk."""
    return Shape(
        format=_FORMAT,
        image_digest=image.digest,
        kernel_digest=kernel.digest,
        initramfs=config.initramfs.stem,
        driver=driver.name,
        driver_build=await driver.build_of(config),
        host_cpu=cpu.model_name(),
        accel=config.accel,
        cpus=config.cpus,
        memory_mib=config.memory_mib,
        init=init,
        disk_bytes=max(image.size_bytes, min(config.disk_bytes, USUAL_DISK_BYTES)),
    )


def shape_id(shape: Shape) -> str:
    """64 hex digits."""
    return hashlib.sha256(msgspec.json.encode(shape)).hexdigest()
