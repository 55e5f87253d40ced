"""Building Debian: the plan, mmdebstrap's arguments, its output as progress."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from banger.host.apt import Package
from banger.images.records import namespace
from banger.images.records.debian import BuildProgress, DebianImage, Plan, prepare_mmdebstrap
from banger.images.records.namespace import prepare_as_root, prepare_contained

BOOKWORM = DebianImage("debian-bookworm", "bookworm", ("systemd", "less"), 1686355200, "amd64")
PACKAGES = [Package("apt", "2.6", 1), Package("bash", "5.2", 2)]


def test_the_plan_changes_with_versions_and_with_the_recipe() -> None:
    plan = Plan(BOOKWORM, PACKAGES)
    assert plan.digest == Plan(BOOKWORM, list(PACKAGES)).digest
    assert plan.digest != Plan(BOOKWORM, [replace(PACKAGES[0], version="2.7"), PACKAGES[1]]).digest
    assert plan.digest != Plan(replace(BOOKWORM, packages=("less",)), PACKAGES).digest
    assert plan.digest == Plan(replace(BOOKWORM, name="another"), PACKAGES).digest
    assert "2 packages" in plan.source


def test_mmdebstrap_is_told_everything() -> None:
    argv = prepare_mmdebstrap(BOOKWORM, Path("/w/root"), Path("/w/debian.sources"), Path("/w/acquire.conf"))
    assert argv[-3:] == ["bookworm", "/w/root", "/w/debian.sources"]
    assert "--variant=minbase" in argv and "--aptopt=/w/acquire.conf" in argv
    included = next(arg for arg in argv if arg.startswith("--include=")).split("=")[1].split(",")
    assert "systemd" in included
    assert not any("systemctl enable" in arg for arg in argv)
    enabling = prepare_mmdebstrap(replace(BOOKWORM, enable=("a.service", "b@1.timer")), *(Path("/w"),) * 3)
    assert '--customize-hook=chroot "$1" systemctl enable a.service b@1.timer' in enabling


def test_root_needs_no_user_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert prepare_as_root(["x"]) == ["x"]
    assert prepare_contained(["x", "y"])[-2:] == ["x", "y"]
    assert "--user" not in prepare_contained(["x"])


def test_a_user_becomes_root_of_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert prepare_as_root(["x"]) == ["unshare", "--user", "--map-root-user", "--map-auto", "x"]
    assert prepare_as_root(["x"], ranges=False) == ["unshare", "--user", "--map-root-user", "x"]
    assert {"--user", "--map-auto", "--kill-child"} < set(prepare_contained(["x"]))


@pytest.mark.parametrize(
    ("table", "enough"),
    [
        ("me:100000:65536\n", True),
        ("1000:100000:65536\n", True),
        ("me:100000:1000\nme:200000:64536\n", True),
        ("me:100000:1000\n", False),
        ("other:100000:65536\n", False),
        ("me:100000\nme:x:y\n\n", False),
    ],
)
def test_ranges_of_subordinate_ids_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str, enough: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(namespace, "_user_name", lambda: "me")
    (tmp_path / "subuid").write_text(table)
    assert namespace._has_range(tmp_path / "subuid") is enough
    assert namespace._has_range(tmp_path / "none") is False


def test_lines_become_progress() -> None:
    seen: list[tuple[object, ...]] = []

    def note(
        phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
    ) -> None:
        seen.append((phase, message, done, total, unit))

    progress = BuildProgress(note, 2)
    for line in (
        "I: running apt-get update...",
        "Get:1 http://m/debian bookworm InRelease [151 kB]",
        "Get:1 http://m/debian bookworm/main amd64 libc6 amd64 2.36-9 [2759 kB]",
        "Unpacking libc6:amd64 (2.36-9) ...",
        "Setting up libc6:amd64 (2.36-9) ...",
        "Setting up libc6:amd64 (2.36-9) ...",
        "Setting up a (1) ...",
        "Setting up b (1) ...",
        "E: something broke",
        "",
    ):
        progress.read_line(line)
    assert seen == [
        ("build", "running apt-get update", 0, 0, ""),
        ("download", "libc6", 1, 2, "packages"),
        ("unpack", "libc6", 1, 2, "packages"),
        ("install", "libc6", 1, 2, "packages"),
        ("install", "libc6", 1, 2, "packages"),
        ("install", "a", 2, 2, "packages"),
        ("install", "b", 3, 3, "packages"),
    ]
    assert progress.last_error == "something broke"
