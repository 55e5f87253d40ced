"""A store that is hurt: what is lost is named, the rest works, and nothing is thrown away."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from banger.errors import Error
from banger.machines.keep.registry import Registry
from banger.model.image import Image
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.operation import Operation, OperationState
from banger.store import backup, database
from banger.store.migrations import STEPS
from banger.store.salvage import is_damage
from banger.store.store import Store

MACHINES = 300
PAGE = 4096


def machine(number: int) -> Machine:
    return Machine(
        id=f"{number:012x}",
        name=f"m{number}",
        state=MachineState.RUNNING,
        spec=MachineSpec(image="debian", memory_mib=512),
        created="2026-01-01T00:00:00Z",
        pid=number + 1,
    )


def image(name: str) -> Image:
    return Image(
        name=name, digest="d", architecture="amd64", size_bytes=1, used_bytes=1, source="s", created="c"
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with hundreds of machines, of which the file alone is all."""
    path = tmp_path_factory.mktemp("whole") / "s.db"
    store = Store(path)
    with store.database.transaction():
        for number in range(MACHINES):
            store.machines.add(machine(number))
            store.resources.note(f"{number:012x}", "vmm", {"marker": f"{number:012x}", "pid": number + 1})
            store.events.append("machine.created", f"machine/m{number}", "created", {"id": number})
        for name in ("debian", "alpine"):
            store.images.put(image(name))
        for number in range(100):
            store.operations.put(
                Operation(id=f"o{number}", kind="pull", target="x", state=OperationState.SUCCEEDED, begun="b")
            )
    store.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    path = tmp_path / "s.db"
    path.write_bytes(whole)
    return path


def hurt(path: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(places: list[int], content: bytearray) -> None:
    for place in places:
        content[place] ^= 0xFF


def pages_of(path: Path, table: str) -> list[int]:
    """The leaves of a table, counted from 0."""
    with closing(sqlite3.connect(path)) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = path.read_bytes()
    return [*_leaves(content, root)]


def _leaves(content: bytes, page: int) -> list[int]:
    start = (page - 1) * PAGE
    if content[start] == 0x0D:
        return [page - 1]
    cells = int.from_bytes(content[start + 3 : start + 5], "big")
    places = [start + 12 + 2 * n for n in range(cells)]
    below = [start + int.from_bytes(content[p : p + 2], "big") for p in places]
    children = [int.from_bytes(content[b : b + 4], "big") for b in below]
    children.append(int.from_bytes(content[start + 8 : start + 12], "big"))
    return [leaf for child in children for leaf in _leaves(content, child)]


def works(store: Store) -> None:
    """All that a daemon does with a store."""
    made = machine(999)
    store.machines.add(made)
    store.machines.put(made)
    assert made in store.machines.all()
    store.events.append("k", "t", "", {})
    assert store.events.page(0, 100_000)[-1].kind == "k"
    store.resources.clear(store.resources.note("x", "files", {"path": "/x"}))
    store.resources.all()
    store.operations.all()
    store.images.all()
    store.close()


def kept_aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob("s.db.damaged-*"))


def test_a_whole_store_is_left_alone(path: Path) -> None:
    store = Store(path)
    assert len(store.machines.all()) == MACHINES
    assert store.damage.all() == [] and kept_aside(path) == []


@pytest.mark.parametrize("which", [0, 3, -1], ids=["first", "inner", "last"])
def test_a_page_of_zeros_costs_what_was_on_it(path: Path, which: int) -> None:
    leaf = pages_of(path, "machines")[which]
    before = path.read_bytes()
    hurt(path, lambda content: content.__setitem__(slice(leaf * PAGE, (leaf + 1) * PAGE), bytes(PAGE)))
    store = Store(path)
    left = store.machines.all()
    lost = {f"m{n}" for n in range(MACHINES)} - {m.name for m in left}
    assert 0 < len(lost) < 30
    (told,) = store.damage.all()
    assert f"{len(left)} machines, 2 images" in told
    assert all(name in told for name in sorted(lost)[:3]) or "more" in told
    (aside,) = kept_aside(path)
    assert not list(path.parent.glob("*.salvaged*"))
    assert len(aside.read_bytes()) == len(before)
    assert len(store.resources.all()) == MACHINES and len(store.operations.all()) == 100
    works(store)
    assert Store(path).damage.all() == [told]


@pytest.mark.parametrize("table", ["machines", "resources", "operations", "images"])
def test_flipped_bytes_in_any_table_stop_nothing(path: Path, table: str) -> None:
    dice = random.Random(table)
    content = path.read_bytes()
    for _ in range(12):
        hurt(path, lambda c: c.__setitem__(slice(None), content))
        for leaf in dice.sample(pages_of(path, table), 1):
            places = [leaf * PAGE + dice.randrange(PAGE) for _ in range(24)]
            hurt(path, partial(flip, places))
        works(Store(path))


@pytest.mark.parametrize("seed", range(25))
def test_bytes_flipped_anywhere_but_in_the_head_stop_nothing(path: Path, seed: int) -> None:
    dice = random.Random(seed)

    def change(content: bytearray) -> None:
        for _ in range(dice.choice((1, 10, 200))):
            content[dice.randrange(100, len(content))] ^= 1 << dice.randrange(8)

    hurt(path, change)
    works(Store(path))


@pytest.mark.parametrize("place", [*range(0, 100, 3)])
def test_a_hurt_head_is_mended_or_named(path: Path, place: int) -> None:
    hurt(path, lambda content: content.__setitem__(place, content[place] ^ 0xFF))
    try:
        store = Store(path)
    except Error as exc:
        assert exc.code in ("store_too_new", "store_damaged")
        return
    works(store)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_store_that_was_cut_off_keeps_what_is_left(path: Path, share: float) -> None:
    hurt(path, lambda content: content.__delitem__(slice(int(len(content) * share), None)))
    store = Store(path)
    assert store.damage.all() and kept_aside(path)
    works(store)


def test_a_store_without_its_first_page_is_begun_anew_and_kept(path: Path) -> None:
    hurt(path, lambda content: content.__setitem__(slice(0, PAGE), bytes(PAGE)))
    store = Store(path)
    assert store.machines.all() == []
    assert "all of it" in store.damage.all()[0]
    assert len(kept_aside(path)) == 1
    works(store)


def test_an_emptied_store_is_named(path: Path) -> None:
    path.write_bytes(b"")
    assert "was empty" in Store(path).damage.all()[0]


def test_a_store_of_the_wrong_shape_is_mended(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version=1")
        raw.commit()
    store = Store(path)
    assert len(store.machines.all()) == MACHINES
    works(store)


@pytest.mark.parametrize("record", [b"\x00\xff garbage", b"{}", b'{"id": 3}', b"[" * 100_000, b"\xff", b""])
def test_a_record_that_is_garbage_is_set_aside_and_its_name_is_free(path: Path, record: bytes) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE machines SET record = ? WHERE name = 'm7'", (record,))
        raw.execute("UPDATE images SET record = ? WHERE name = 'alpine'", (record,))
        raw.execute("UPDATE operations SET record = ? WHERE id = 'o3'", (record,))
        raw.execute("UPDATE resources SET identity = ? WHERE id = 5", (b"[1]",))
        raw.execute("UPDATE events SET data = ? WHERE seq = 5", (record,))
        raw.commit()
    store = Store(path)
    assert len(store.machines.all()) == MACHINES - 1
    assert store.images.get("alpine") is None
    assert [found.name for found in store.images.all()] == ["debian"]
    assert len(store.operations.all()) == 99
    assert len(store.resources.all()) == MACHINES - 1
    assert len(store.events.page(0, 1000)) == MACHINES
    found = store.damage.all()
    assert len(found) == 4 and "the record of 'm7' in machines cannot be read" in found[1] + found[0]
    kept = store.database.rows("SELECT record FROM damage")
    assert (record,) in kept
    store.machines.add(machine(7))
    works(store)


def test_garbage_on_a_full_disk_is_skipped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE machines SET record = x'00' WHERE name = 'm7'")
        raw.commit()
    store = Store(path)

    def full(statement: str, parameters: tuple[object, ...] = ()) -> sqlite3.Cursor:
        if "INTO damage" in statement:
            raise Error("insufficient_disk", "no room")
        return original(statement, parameters)

    original = store.database.execute
    monkeypatch.setattr(store.database, "execute", full)
    store.damage.note("something")
    assert len(store.machines.all()) == MACHINES - 1
    assert len(store.database.rows("SELECT name FROM machines")) == MACHINES
    assert store.damage.all() == []


def test_whoever_listens_hears_what_was_found_before(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE machines SET record = x'00' WHERE name IN ('m7', 'm8')")
        raw.commit()
    store = Store(path)
    store.machines.all()
    heard: list[str] = []
    store.damage.listen(heard.append)
    store.damage.note("more")
    assert len(heard) == 3 and heard[2] == "more"


def test_a_store_that_is_hurt_while_it_is_used_goes_on(path: Path) -> None:
    """What a registry has in memory is not lost."""
    store = Store(path)
    store.database.execute("PRAGMA cache_size=0")

    def tell(kind: str, target: str, message: str, /, **data: object) -> None:
        store.events.append(kind, target, message, data)

    registry = Registry(store, tell)
    store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for leaf in pages_of(path, "machines") + pages_of(path, "events"):
        with path.open("r+b") as file:
            file.seek(leaf * PAGE)
            file.write(b"\xff" * PAGE)
    for known in registry.all():
        registry.move(known, "pause")
    assert all(m.state is MachineState.PAUSED for m in store.machines.all())
    assert len(store.machines.all()) == MACHINES
    assert len(kept_aside(path)) >= 1 and store.damage.all()
    works(store)


def test_a_full_disk_or_a_locked_store_is_no_damage() -> None:
    busy = sqlite3.OperationalError("locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    assert not is_damage(busy)
    assert not is_damage(sqlite3.ProgrammingError("closed"))


def old_store(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(database, "STEPS", STEPS[:version])
        with closing(sqlite3.connect(path)) as raw:
            for step in STEPS[:version]:
                raw.executescript(step)
            raw.execute(f"PRAGMA user_version={version}")
            raw.execute("INSERT INTO machines VALUES ('a', 'dev', x'00')")
            raw.commit()


def test_a_store_is_copied_before_it_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    old_store(path, 1, monkeypatch)
    Store(path).close()
    copy = tmp_path / "s.db.v1.bak"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
        assert raw.execute("SELECT name FROM machines").fetchall() == [("dev",)]
    Store(path).close()
    assert [p.name for p in tmp_path.glob("*.bak")] == ["s.db.v1.bak"]


def test_a_new_store_has_nothing_to_copy(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    assert list(tmp_path.glob("*.bak*")) == []


def test_the_last_two_copies_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (9, 10, 11):
        (tmp_path / f"s.db.v{number}.bak").touch()
    (tmp_path / "s.db.vx.bak").touch()
    with closing(sqlite3.connect(tmp_path / "s.db")) as raw:
        backup.back_up(raw, tmp_path / "s.db", 12)
    assert {p.name for p in tmp_path.glob("*.bak")} == {"s.db.v11.bak", "s.db.v12.bak", "s.db.vx.bak"}


def test_a_store_that_cannot_be_copied_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    old_store(path, 1, monkeypatch)
    (tmp_path / "s.db.v1.bak.partial").mkdir()
    with pytest.raises(Error) as caught:
        Store(path)
    assert caught.value.code == "insufficient_disk"
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_damaged_store_of_an_older_version_is_mended_and_brought_up_to_date(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    old_store(path, 2, monkeypatch)
    with closing(sqlite3.connect(path)) as raw:
        raw.executemany(
            "INSERT INTO machines VALUES (?, ?, ?)", [(f"{n}", f"m{n}", b"x" * 300) for n in range(200)]
        )
        raw.commit()
    leaf = pages_of(path, "machines")[4]
    hurt(path, lambda content: content.__setitem__(slice(leaf * PAGE, (leaf + 1) * PAGE), bytes(PAGE)))
    store = Store(path)
    assert store.database.version() == len(STEPS)
    (count,) = store.database.rows("SELECT count(*) FROM machines")[0]
    assert 150 < count < 201
    works(store)
