"""The files of the browser's half: exact versions, no host of a registry, no markup made of text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UI = ROOT / "ui"
SOURCES = sorted(path for path in (UI / "src").rglob("*") if path.suffix in (".ts", ".tsx"))
EXACT = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
# Each of them makes markup or code of text.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\("
    r"|new Function|srcdoc|javascript:"
)


@pytest.mark.parametrize("name", ["package.json", "package-lock.json", ".npmrc", "build.mjs"])
def test_no_file_names_a_host(name: str) -> None:
    assert "://" not in (UI / name).read_text(encoding="utf-8")


def test_versions_are_exact() -> None:
    package = json.loads((UI / "package.json").read_text(encoding="utf-8"))
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert versions and all(EXACT.fullmatch(version) for version in versions.values())


def test_the_lock_pins_each_package_with_its_digest() -> None:
    packages = json.loads((UI / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    pinned = {path: one for path, one in packages.items() if path}
    assert pinned
    for path, one in pinned.items():
        assert EXACT.match(one["version"]) and one["integrity"].startswith("sha512-"), path
        assert "resolved" not in one, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_text_never_becomes_markup(path: Path) -> None:
    assert not FORBIDDEN.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_links_of_other_pages_do_not_reach_back(path: Path) -> None:
    for opened in re.findall(r"<a\b[^>]*target=\"_blank\"[^>]*>", path.read_text(encoding="utf-8")):
        assert "noopener" in opened and "noreferrer" in opened
