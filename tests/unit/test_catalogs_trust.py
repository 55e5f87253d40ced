"""Catalogs over HTTP on loopback: believed by their key, their version and the clock; and which of several is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banger.catalogs import fetching
from banger.catalogs.minisign import sign
from banger.catalogs.shelf import Shelf
from banger.catalogs.subscription import format_moment
from banger.errors import Error
from banger.images.fetch.blobs import BlobStore
from banger.images.records.lazy_web import LazyWeb
from banger.model.catalog import Catalog
from tests.support.catalogs import DAY_S, Clock, Publisher, image_entry
from tests.support.paths import paths_below
from tests.support.reports import Reports
from tests.support.web import Web


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PUBLICATION_S", 0.01)


@pytest.fixture
def publisher(web: Web) -> Publisher:
    return Publisher(web.directory / "lab")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_shelf(tmp_path: Path, clock: Clock) -> Callable[[], Shelf]:
    """What a daemon that starts finds on disk."""
    paths = paths_below(tmp_path)
    return lambda: Shelf(paths, LazyWeb(paths.config, BlobStore(paths.oci)), clock)


@pytest.fixture
def shelf(open_shelf: Callable[[], Shelf]) -> Shelf:
    return open_shelf()


def add(shelf: Shelf, web: Web, publisher: Publisher, name: str = "") -> Catalog:
    return asyncio.run(shelf.add(f"{web.url}/{publisher.directory.name}", publisher.public, name))


def refresh(shelf: Shelf, name: str = "lab") -> None:
    asyncio.run(shelf.refresh(name))


def refusal(shelf: Shelf, name: str = "lab") -> str:
    with pytest.raises(Error) as caught:
        refresh(shelf, name)
    return caught.value.code


def names(shelf: Shelf, catalog: str = "lab") -> list[str]:
    return [listed.entry.name for listed in shelf.images() if listed.catalog == catalog]


def test_an_added_catalog_is_found_by_who_comes_after(
    shelf: Shelf, web: Web, publisher: Publisher, open_shelf: Callable[[], Shelf]
) -> None:
    publisher.publish(image_entry())
    catalog = add(shelf, web, publisher)
    assert (catalog.name, catalog.version, catalog.images, catalog.problem) == ("lab", 1, 1, "")
    later = open_shelf()
    found = later.find_image("app", "amd64")
    assert found is not None and (found.catalog, found.entry.name) == ("lab", "app")
    assert [each.name for each in later.list()] == ["builtin", "lab"]
    later.remove("lab")
    assert open_shelf().find_image("app", "amd64") is None


def test_with_another_key_nothing_is_kept(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    publisher.publish(image_entry())
    stranger = Publisher(web.directory / "stranger")
    with pytest.raises(Error) as caught:
        asyncio.run(shelf.add(f"{web.url}/lab/index.json", stranger.public))
    assert caught.value.code == "catalog_untrusted"
    assert [each.name for each in shelf.list()] == ["builtin"]


def test_a_damaged_or_truncated_index_changes_nothing(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    good = publisher.publish(image_entry())
    add(shelf, web, publisher)
    signature = (publisher.directory / "index.json.minisig").read_bytes()
    for bad in (good[:-1], good.replace(b"app", b"apq"), b"", good + b" "):
        publisher.write(bad, signature)
        assert refusal(shelf) == "catalog_untrusted"
    publisher.write(good, b"")
    assert refusal(shelf) == "catalog_untrusted"
    (publisher.directory / "index.json.minisig").unlink()
    assert refusal(shelf) == "download_failed"
    assert names(shelf) == ["app"]


def test_an_older_index_is_a_roll_back(
    shelf: Shelf, web: Web, publisher: Publisher, open_shelf: Callable[[], Shelf]
) -> None:
    old = publisher.publish(image_entry("old"))
    signature = (publisher.directory / "index.json.minisig").read_bytes()
    publisher.publish(image_entry("new"))
    add(shelf, web, publisher)
    publisher.write(old, signature)
    assert refusal(shelf) == "catalog_rolled_back"
    assert refusal(open_shelf()) == "catalog_rolled_back"
    assert names(open_shelf()) == ["new"]


def test_two_indexes_of_one_version_are_refused(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    publisher.publish(image_entry("one"))
    add(shelf, web, publisher)
    refresh(shelf)
    publisher.publish(image_entry("two"), version=1)
    assert refusal(shelf) == "catalog_untrusted"
    assert names(shelf) == ["one"]


def test_the_index_of_another_catalog_of_the_same_key_is_refused(
    shelf: Shelf, web: Web, publisher: Publisher
) -> None:
    publisher.publish(image_entry())
    add(shelf, web, publisher)
    publisher.name = "other"
    publisher.publish(image_entry())
    assert refusal(shelf) == "catalog_untrusted"


def test_an_index_that_is_held_back_expires(
    shelf: Shelf, web: Web, publisher: Publisher, clock: Clock
) -> None:
    publisher.publish(image_entry(), days=10)
    add(shelf, web, publisher)
    clock.ahead_s = 11 * DAY_S
    assert refusal(shelf) == "catalog_expired"
    reports = Reports()
    with pytest.raises(Error) as caught:
        asyncio.run(shelf.look_up("app", shelf.find_image, "amd64", reports))
    assert caught.value.code == "catalog_expired"
    assert len(reports.warnings) == 1 and "from the cache" in reports.warnings[0]
    publisher.publish(image_entry(), created=format_moment(clock()), expires=format_moment(clock() + DAY_S))
    clock.ahead_s += 61
    assert asyncio.run(shelf.look_up("app", shelf.find_image, "amd64", reports)) is not None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires": ""}, "catalog_invalid"),
        ({"expires": "2001-01-01T00:00:00Z"}, "catalog_invalid"),
        ({"created": "2999-01-01T00:00:00Z", "expires": "2999-02-01T00:00:00Z"}, "catalog_invalid"),
        ({"created": "2001-01-01T00:00:00Z", "expires": "2001-02-01T00:00:00Z"}, "catalog_expired"),
        ({"expires": "2026-99-99T00:00:00Z"}, "catalog_invalid"),
        ({"images": [{"name": "x"}]}, "catalog_invalid"),
        ({"format": 2}, "unsupported"),
    ],
)
def test_what_is_signed_may_still_be_refused(
    shelf: Shelf, web: Web, publisher: Publisher, fields: dict[str, Any], code: str
) -> None:
    publisher.publish(**fields)
    with pytest.raises(Error) as caught:
        add(shelf, web, publisher)
    assert caught.value.code == code
    assert [each.name for each in shelf.list()] == ["builtin"]


def test_offline_the_cached_index_is_used_and_that_is_said(
    web: Web, publisher: Publisher, open_shelf: Callable[[], Shelf], clock: Clock
) -> None:
    publisher.publish(image_entry())
    add(open_shelf(), web, publisher)
    (publisher.directory / "index.json").unlink()
    shelf, reports = open_shelf(), Reports()
    assert asyncio.run(shelf.look_up("app", shelf.find_image, "amd64", reports)) is not None
    assert reports.warnings == []  # it is fresh
    clock.ahead_s = 2 * 3600
    for _ in range(2):
        assert asyncio.run(shelf.look_up("app", shelf.find_image, "amd64", reports)) is not None
    assert len(reports.warnings) == 2 and "using its index" in reports.warnings[1]
    assert web.count("index.json") == 2  # the second time it was not asked again


def test_the_built_in_catalog_needs_no_network(
    shelf: Shelf, web: Web, publisher: Publisher, clock: Clock
) -> None:
    publisher.publish(image_entry("debian-bookworm"))
    add(shelf, web, publisher)
    clock.ahead_s, asked = 2 * 3600, len(web.asked)
    found = asyncio.run(shelf.look_up("debian", shelf.find_image, "amd64", Reports()))
    assert found is not None and found.catalog == "builtin"
    assert len(web.asked) == asked


def test_of_two_catalogs_the_one_that_was_added_first_is_asked(
    shelf: Shelf, web: Web, publisher: Publisher
) -> None:
    other = Publisher(web.directory / "other", "other")
    publisher.publish(image_entry("app"), image_entry("debian-bookworm"))
    other.publish(image_entry("app", description="theirs"), image_entry("tool", aliases=["app"]))
    add(shelf, web, other)
    add(shelf, web, publisher)
    found = shelf.find_image("app", "amd64")
    assert found is not None and (found.catalog, found.name) == ("other", "app")
    mine = shelf.find_image("catalog:lab/app", "amd64")
    assert mine is not None and (mine.catalog, mine.name) == ("lab", "catalog:lab/app")
    builtin = shelf.find_image("debian-bookworm", "amd64")
    assert builtin is not None and builtin.catalog == "builtin"
    hidden = {(each.catalog, each.entry.name): each.hidden_by for each in shelf.images()}
    assert hidden["lab", "app"] == "other" and hidden["lab", "debian-bookworm"] == "builtin"
    shelf.remove("other")
    found = shelf.find_image("app", "amd64")
    assert found is not None and (found.catalog, found.name) == ("lab", "app")


def test_by_an_alias_nobody_gets_the_name_of_another(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    """Else whoever pulls "shiny" would boot it as debian-bookworm from then on, or every machine with that kernel."""
    kernel = image_entry("debian-cloud", aliases=["quick"])
    entries = (image_entry("debian-bookworm", aliases=["shiny"]), image_entry("debian"))
    publisher.publish(*entries, kernels=[kernel])
    add(shelf, web, publisher)
    image, own = shelf.find_image("shiny", "amd64"), shelf.find_image("catalog:lab/debian", "amd64")
    assert image is not None and (image.catalog, image.name) == ("lab", "catalog:lab/debian-bookworm")
    assert own is not None and own.name == "catalog:lab/debian"
    found = shelf.find_kernel("quick", "amd64")
    assert found is not None and (found.catalog, found.name) == ("lab", "catalog:lab/debian-cloud")
    hidden = {each.entry.name: each.hidden_by for each in shelf.images() if each.catalog == "lab"}
    assert hidden == {"debian-bookworm": "builtin", "debian": "builtin"}


def test_a_name_is_not_passed_on_past_a_catalog_that_cannot_be_believed(
    shelf: Shelf, web: Web, publisher: Publisher, open_shelf: Callable[[], Shelf], tmp_path: Path
) -> None:
    publisher.publish(image_entry())
    add(shelf, web, publisher)
    file = tmp_path / "state/catalogs/lab.json"
    record = json.loads(file.read_text())
    record["version"] = 9
    file.write_text(json.dumps(record))
    later = open_shelf()
    with pytest.raises(Error) as caught:
        asyncio.run(later.look_up("something", later.find_image, "amd64", Reports()))
    assert caught.value.code == "catalog_invalid" and "lab" in caught.value.hint
    file.write_text("{")
    damaged = open_shelf()
    assert [each.name for each in damaged.list()] == ["builtin", "lab"] and damaged.list()[1].problem
    problem = damaged.list()[1].problem
    assert refusal(damaged) == "catalog_invalid" and damaged.list()[1].problem == problem
    damaged.remove("lab")
    assert asyncio.run(damaged.look_up("something", damaged.find_image, "amd64", Reports())) is None


@pytest.mark.parametrize("url", ["", "lab", "ftp://127.0.0.1/x", "http://", "http://u:p@127.0.0.1/", "file:"])
def test_what_is_no_url_is_refused(shelf: Shelf, publisher: Publisher, url: str) -> None:
    with pytest.raises(Error) as caught:
        asyncio.run(shelf.add(url, publisher.public))
    assert caught.value.code in ("bad_request", "file_not_found")


def test_a_directory_is_a_catalog_too(shelf: Shelf, publisher: Publisher) -> None:
    publisher.publish(image_entry())
    asyncio.run(shelf.add(f"file://{publisher.directory}", publisher.public, "disk"))
    assert names(shelf, "disk") == ["app"]


@pytest.mark.parametrize(
    ("name", "code"), [("builtin", "name_taken"), ("lab", "name_taken"), ("../x", "bad_name")]
)
def test_catalogs_have_names_of_their_own(
    shelf: Shelf, web: Web, publisher: Publisher, name: str, code: str
) -> None:
    publisher.publish(image_entry())
    add(shelf, web, publisher)
    with pytest.raises(Error) as caught:
        add(shelf, web, publisher, name)
    assert caught.value.code == code


def test_unknown_catalogs_and_the_built_in_one_are_not_removed(shelf: Shelf) -> None:
    for name, code in (("nope", "catalog_not_found"), ("builtin", "bad_request")):
        with pytest.raises(Error) as caught:
            shelf.remove(name)
        assert caught.value.code == code


def test_a_comment_that_was_changed_is_noticed(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    data = publisher.publish(image_entry())
    publisher.write(data, sign(publisher.key, data, "a").replace(b"comment: a\n", b"comment: b\n"))
    with pytest.raises(Error) as caught:
        add(shelf, web, publisher)
    assert caught.value.code == "catalog_untrusted"
