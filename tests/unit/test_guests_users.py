"""Numbers of users for VMMs: one for each VMM of a record, none for an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.guests.confinement import choose_user
from banger.host import vm_users
from banger.resources import kinds
from banger.store.store import Store


def test_each_vmm_of_root_has_a_number_of_its_own(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chosen = []
    for machine in ("a", "b", "c"):
        user = choose_user(store.resources, tmp_path)
        assert user is not None and vm_users.is_ours(user)
        store.resources.note(machine, kinds.VMM.name, {"marker": machine, "boot": "x", "user": user})
        chosen.append(user)
    assert len(set(chosen)) == 3
    (record,) = store.resources.of_machine("b")
    store.resources.clear(record.id)
    assert choose_user(store.resources, tmp_path) == chosen[1]


def test_an_ordinary_user_has_one_number(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_user(store.resources, tmp_path) is None
    assert vm_users.is_ours(1000) and not vm_users.is_ours(0x7000_0000) and not vm_users.is_ours(0)


def test_state_directories_share_no_number_unless_by_chance(tmp_path: Path) -> None:
    parts = {vm_users.part_of(tmp_path / str(number)) for number in range(20)}
    assert len(parts) > 15 and all(part.start >= 0x7000_0000 and part.stop <= 0x8000_0000 for part in parts)
