"""E2B's blocking Sandbox, which can also be made by its constructor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from banger.client.sync_vm import Vm
from banger.compat import sync_sandbox


class Sandbox(sync_sandbox.Sandbox):
    """`Sandbox(...)` means `Sandbox.create(...)`, as in E2B's first version."""

    def __init__(
        self,
        template: str | None = None,
        timeout: int | None = None,
        metadata: Mapping[str, str] | None = None,
        envs: Mapping[str, str] | None = None,
        **options: object,
    ) -> None:
        made = sync_sandbox.Sandbox.create(template, timeout, metadata, envs)
        super().__init__(made._vm, envs)

    @classmethod
    def _of(cls, vm: Vm, envs: Mapping[str, str] | None = None) -> Self:
        sandbox = cls.__new__(cls)
        sync_sandbox.Sandbox.__init__(sandbox, vm, envs)
        return sandbox
