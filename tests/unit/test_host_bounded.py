"""What the daemon remembers of strangers has its bound where it is put in."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import Error
from banger.host.bounded import Bounded, Locks
from banger.images.fetch.grants import Grant, Grants
from banger.images.records.library import ImageLibrary
from banger.model.settings import PoolSettings
from banger.store import keys
from banger.store.damage import Damage
from banger.store.keys import Made
from banger.store.store import Store
from banger.templates import library as templates
from banger.templates import pool as pools
from banger.templates.library import TemplateLibrary
from banger.templates.pool import Pool


def test_the_first_goes_where_there_is_no_room_and_what_is_put_in_again_is_new() -> None:
    known: Bounded[str, int] = Bounded(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        known[key] = value
    assert known == {"a": 3, "c": 4}


def test_a_lock_keeps_others_out_and_is_gone_when_nobody_wants_it() -> None:
    async def scenario() -> None:
        locks = Locks()
        order: list[str] = []

        async def work(name: str) -> None:
            async with locks["image"]:
                order.append(f"{name} begins")
                await asyncio.sleep(0)
                order.append(f"{name} ends")

        async with locks["image"], locks["other"]:
            waiting = [asyncio.create_task(work(name)) for name in ("a", "b")]
            await asyncio.sleep(0)
            assert locks["image"].locked() and len(locks) == 2 and not order
        await asyncio.gather(*waiting)
        assert order == ["a begins", "a ends", "b begins", "b ends"]
        del waiting
        gc.collect()
        assert len(locks) == 0

    asyncio.run(scenario())


def test_references_that_cannot_be_pulled_leave_nothing(tmp_path: Path) -> None:
    paths: Any = SimpleNamespace(
        config=tmp_path, images=tmp_path, catalogs=tmp_path, oci=tmp_path / "oci", apt=tmp_path
    )
    store = Store(tmp_path / "s.db")
    library = ImageLibrary(paths, store.images)

    async def scenario() -> None:
        for number in range(50):
            with pytest.raises(Error):
                await library.pull(f"oci:{tmp_path}/none-{number}", lambda *_: None)

    asyncio.run(scenario())
    gc.collect()
    assert len(library._pulling) == 0
    store.close()


def test_scopes_that_a_registry_invents_are_forgotten() -> None:
    grants = Grants()
    for number in range(1000):
        grants.put("registry.lan", f"repository:{number}", Grant("Bearer x", float("inf")))
    assert len(grants._known) < 1000
    assert grants.find("registry.lan", "repository:999") is not None


def test_templates_that_cannot_be_made_are_remembered_up_to_a_number() -> None:
    nothing: Any = None
    library = TemplateLibrary(nothing, nothing, nothing, nothing, nothing)
    for number in range(2 * templates._REMEMBERED):
        library._failed[str(number)] = templates.plan_retry(None, 0, "no")
        library._checks[str(number)] = None, nothing
    assert len(library._failed) == len(library._checks) == templates._REMEMBERED


def test_sizes_that_are_asked_for_once_keep_no_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_SHELVES_MAX", 3)
    nothing: Any = None
    library: Any = SimpleNamespace(ready_of=None, on_discard=None)

    async def scenario() -> None:
        pool = Pool(nothing, nothing, library, PoolSettings())
        for number in range(10):
            wanted: Any = SimpleNamespace(id=str(number))
            assert await pool.take(wanted, "heir", "dev") is None
        assert list(pool._shelves) == ["7", "8", "9"]
        await pool.close()

    asyncio.run(scenario())


def test_keys_of_requests_are_kept_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "KEEP_COUNT", 3)
    store = Store(tmp_path / "s.db")
    for number in range(10):
        store.keys.put(f"k{number}", Made("m", "r"))
    assert [number for number in range(10) if store.keys.find(f"k{number}")] == [7, 8, 9]
    store.close()


def test_damage_that_nobody_hears_of_yet_is_kept_up_to_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    damage = Damage(store.database)
    for number in range(1500):
        damage.note(str(number))
    heard: list[str] = []
    damage.listen(heard.append)
    assert len(heard) == 1000 and heard[-1] == "1499"
    store.close()
