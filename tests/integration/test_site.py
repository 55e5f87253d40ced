"""`make docs`: the site is built without a warning, is whole, and loads nothing from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.home import REPOSITORY

pytestmark = pytest.mark.integration
# Elements that load what they name, and the attribute that names it.
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """Links, what is loaded, and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if (name := LOADING.get(tag)) and found.get(name):
            self.loaded.append(found[name])


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY / "docs", place)
    assert done.returncode == 0, done.stderr.decode()
    return place / "html"


def build(source: Path, place: Path) -> subprocess.CompletedProcess[bytes]:
    """As `make docs` does."""
    words = ["-q", "-n", "-W", "--keep-going", "-b", "html", "-d", str(place / "doctrees")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(source), str(place / "html")],
        capture_output=True,
        cwd=REPOSITORY,
        timeout=300,
    )


def test_all_links_between_pages_lead_to_something(site: Path) -> None:
    found = {path: read(path) for path in site.rglob("*.html")}
    assert len(found) > 80
    wrong = []
    for path, page in found.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                wrong.append(f"{path.name}: {link}")
            elif target in found and unquote(parts.fragment) not in found[target].anchors:
                wrong.append(f"{path.name}: {link}: no such anchor")
    assert wrong == []


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    loaded = {link for path in site.rglob("*.html") for link in read(path).loaded}
    assert [link for link in loaded if urlsplit(link).netloc] == []
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "url(http" not in text and "url(//" not in text and "@import" not in text, sheet.name


def test_a_page_finds_others_without_a_server(site: Path) -> None:
    assert (site / "searchindex.js").stat().st_size > 10_000


def test_a_link_to_a_file_of_the_root_leads_to_the_page_that_shows_it(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    (source / "inner").mkdir(parents=True)
    (source / "conf.py").write_text((REPOSITORY / "docs/conf.py").read_text())
    (source / "index.md").write_text(
        "# A\n\n```{toctree}\ninner/b\nchangelog\n```\n\n[c](../CHANGELOG.md#c)\n"
    )
    (source / "inner/b.md").write_text("# B\n\n[readme](../../README.md#install)\n")
    (source / "changelog.md").write_text("# C\n")
    done = build(source, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert "changelog.html#c" in read(tmp_path / "html/index.html").links
    assert "../index.html" in read(tmp_path / "html/inner/b.html").links


def test_a_broken_link_and_a_page_in_no_menu_fail(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text((REPOSITORY / "docs/conf.py").read_text())
    (source / "index.md").write_text("# A\n\n[gone](gone.md)\n\n[heading](b.md#gone)\n")
    (source / "b.md").write_text("# B\n")
    done = build(source, tmp_path)
    said = done.stderr.decode()
    assert done.returncode != 0
    assert "gone.md" in said and "'gone'" in said and "toctree" in said
