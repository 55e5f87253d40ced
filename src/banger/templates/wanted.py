"""What a machine wants of a template: the shape, and all that is needed to boot a machine of that shape."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from banger.guests.links import another_link
from banger.model.image import Image, Kernel
from banger.model.template import Shape
from banger.templates.shape import prepare_shape, shape_id
from banger.vmm.base import AS_NEEDED, Driver, VmConfig, VmPlaces


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """`config`: configuration of the machine that wants the template."""

    id: str
    shape: Shape
    image: Image
    kernel: Kernel
    driver: Driver
    config: VmConfig
    init: str
    boot_limit_s: float

    def config_of_maker(self, places: VmPlaces, marker: str) -> VmConfig:
        return dataclasses.replace(
            self.config,
            places=places,
            marker=marker,
            link=another_link(self.config.link),
            disk_bytes=self.shape.disk_bytes,
            limits=AS_NEEDED,  # the machine's limits apply to the machine alone
        )


async def prepare_wanted(
    image: Image, kernel: Kernel, driver: Driver, config: VmConfig, init: str, boot_limit_s: float
) -> Wanted:
    shape = await prepare_shape(image, kernel, config, driver, init)
    return Wanted(
        id=shape_id(shape),
        shape=shape,
        image=image,
        kernel=kernel,
        driver=driver,
        config=config,
        init=init,
        boot_limit_s=boot_limit_s,
    )
