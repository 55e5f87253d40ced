"""Names that are invented: one that is taken is never given again."""

from __future__ import annotations

from typing import cast

import pytest

from banger.machines.keep.registry import Registry
from banger.machines.life import lifecycle
from banger.model.machine import MachineSpec
from banger.store.store import Store
from banger.vmm.drivers import Drivers


def test_an_invented_name_is_free(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(store, lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "invent_name", iter(["dev", "dev", "dev", "test"]).__next__)
    made = [lifecycle.create(registry, cast(Drivers, None), MachineSpec(image="x")).name for _ in range(2)]
    assert made == ["dev", "test"]


def test_names_that_are_all_taken_get_an_end_of_their_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(store, lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "invent_name", lambda: "dev")
    made = {lifecycle.create(registry, cast(Drivers, None), MachineSpec(image="x")).name for _ in range(3)}
    assert len(made) == 3 and all(name.startswith("dev") for name in made)
