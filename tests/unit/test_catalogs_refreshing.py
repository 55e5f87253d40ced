"""How an index is fetched: what is published meanwhile, who else wants it, who gives up, how much may come."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.catalogs import fetching, subscription
from banger.catalogs.index import MAX_BYTES
from banger.catalogs.shelf import Shelf
from banger.errors import Error
from banger.images.fetch.blobs import BlobStore
from banger.images.records.lazy_web import LazyWeb
from banger.model.sizes import KIB, MIB
from tests.support.catalogs import Clock, Publisher, image_entry
from tests.support.paths import paths_below
from tests.support.registry_peers import Asked, open_peer, reply
from tests.support.reports import Reports
from tests.support.web import Web

INDEX, SIGNATURE = "/lab/index.json", "/lab/index.json.minisig"


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PUBLICATION_S", 0.01)


@pytest.fixture
def publisher(web: Web) -> Publisher:
    return Publisher(web.directory / "lab")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(tmp_path: Path, clock: Clock) -> Shelf:
    paths = paths_below(tmp_path)
    return Shelf(paths, LazyWeb(paths.config, BlobStore(paths.oci)), clock)


@pytest.fixture
def added(shelf: Shelf, web: Web, publisher: Publisher) -> Shelf:
    """With the catalog lab, which has one entry, "old"; nothing asked yet."""
    publisher.publish(image_entry("old"))
    asyncio.run(shelf.add(f"{web.url}/lab", publisher.public))
    web.asked.clear()
    return shelf


def names(shelf: Shelf) -> list[str]:
    return [listed.entry.name for listed in shelf.images() if listed.catalog == "lab"]


def paths_asked(web: Web) -> list[str]:
    return [path for path, _ in web.asked]


def publishing_before(path: str, publisher: Publisher, times: int) -> Callable[[str], None]:
    """A publication lands just before `path` is read, for as many requests of it."""
    left = times

    def before(asked: str) -> None:
        nonlocal left
        if asked == path and left:
            left -= 1
            publisher.publish(image_entry(f"new-{publisher.version}"))

    return before


def failure(shelf: Shelf) -> Error:
    with pytest.raises(Error) as caught:
        asyncio.run(shelf.refresh("lab"))
    return caught.value


def test_a_publication_between_signature_and_index_is_waited_for(
    added: Shelf, web: Web, publisher: Publisher
) -> None:
    web.before = publishing_before(INDEX, publisher, 1)
    (catalog,) = asyncio.run(added.refresh("lab"))
    assert (catalog.version, catalog.problem, names(added)) == (2, "", ["new-1"])
    assert paths_asked(web) == [SIGNATURE, INDEX] * 2


def test_it_is_waited_for_when_a_catalog_is_added_too(shelf: Shelf, web: Web, publisher: Publisher) -> None:
    publisher.publish(image_entry("old"))
    web.before = publishing_before(INDEX, publisher, 1)
    catalog = asyncio.run(shelf.add(f"{web.url}/lab", publisher.public))
    assert (catalog.version, names(shelf)) == (2, ["new-1"])


def test_who_publishes_all_the_time_is_not_waited_for_forever(
    added: Shelf, web: Web, publisher: Publisher
) -> None:
    web.before = publishing_before(INDEX, publisher, 9)
    assert failure(added).code == "catalog_untrusted"
    assert paths_asked(web) == [SIGNATURE, INDEX] * 2
    assert names(added) == ["old"]


@pytest.mark.parametrize("damage", ["index", "signature", "stranger"])
def test_a_signature_that_stays_bad_is_refused_after_two_looks(
    added: Shelf, web: Web, publisher: Publisher, damage: str
) -> None:
    if damage == "stranger":
        stranger = Publisher(web.directory / "lab")
        stranger.version = 1
        stranger.publish(image_entry("evil"))
    else:
        publisher.publish(image_entry("evil"))
        path = publisher.directory / {"index": "index.json", "signature": "index.json.minisig"}[damage]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    error = failure(added)
    assert error.code == "catalog_untrusted"
    assert paths_asked(web) == [SIGNATURE, INDEX] * 2
    assert names(added) == ["old"] and added.list()[1].problem == error.message


def test_what_is_wrong_but_signed_is_refused_at_the_first_look(
    added: Shelf, web: Web, publisher: Publisher
) -> None:
    publisher.publish(image_entry("other"), version=1)
    assert failure(added).code == "catalog_untrusted"
    assert paths_asked(web) == [SIGNATURE, INDEX]


def test_between_the_two_looks_there_is_time_to_upload(
    added: Shelf, web: Web, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new signature is there, its index comes a quarter of a second later."""
    monkeypatch.setattr(fetching, "PUBLICATION_S", 0.5)
    before = (publisher.directory / "index.json").read_bytes()
    after = publisher.publish(image_entry("new"))
    (publisher.directory / "index.json").write_bytes(before)
    upload = threading.Timer(0.25, (publisher.directory / "index.json").write_bytes, [after])
    upload.start()
    try:
        asyncio.run(added.refresh("lab"))
    finally:
        upload.join()
    assert names(added) == ["new"]


def test_two_who_look_up_at_once_wait_for_one_refresh(
    added: Shelf, web: Web, publisher: Publisher, clock: Clock
) -> None:
    """Nobody is answered by an index that another is just replacing."""
    publisher.publish(image_entry("new"))
    clock.ahead_s = 2 * 3600
    web.before = lambda path: time.sleep(0.1)

    async def main() -> list[object]:
        wanted = [added.look_up("new", added.find_image, "amd64", Reports()) for _ in range(3)]
        return list(await asyncio.gather(*wanted))

    assert all(asyncio.run(main()))
    assert paths_asked(web) == [SIGNATURE, INDEX]


def test_who_gives_up_a_refresh_leaves_it_to_the_next(
    added: Shelf, web: Web, publisher: Publisher, clock: Clock
) -> None:
    publisher.publish(image_entry("new"))
    clock.ahead_s = 2 * 3600
    arrived, go_on = threading.Event(), threading.Event()

    def hold(path: str) -> None:
        arrived.set()
        go_on.wait(10)

    async def main() -> object:
        web.before = hold
        first = asyncio.create_task(added.look_up("new", added.find_image, "amd64", Reports()))
        await asyncio.to_thread(arrived.wait, 10)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        web.before = lambda path: None
        go_on.set()
        return await added.look_up("new", added.find_image, "amd64", Reports())

    try:
        assert asyncio.run(main()) is not None
    finally:
        go_on.set()


def test_an_index_that_cannot_be_kept_is_not_believed(
    added: Shelf, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a restart would forget the version that was seen."""

    def full(path: Path, data: bytes, mode: int = 0o600) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    publisher.publish(image_entry("new"))
    with monkeypatch.context() as patch:
        patch.setattr(subscription, "write_file", full)
        assert failure(added).code == "insufficient_disk"
    assert (names(added), added.list()[1].version) == (["old"], 1)
    asyncio.run(added.refresh("lab"))
    assert (names(added), added.list()[1].version) == (["new"], 2)


@pytest.mark.parametrize(("endless", "limit_bytes"), [("index.json", MAX_BYTES), (".minisig", 16 * KIB)])
@pytest.mark.parametrize("announced", [True, False])
def test_more_than_the_limit_is_not_taken(
    shelf: Shelf, publisher: Publisher, endless: str, limit_bytes: int, announced: bool
) -> None:
    """Also where the server does not say how much will come. What it has sent is in the sockets' buffers then."""
    publisher.publish(image_entry())
    sent = 0

    def answer(asked: Asked, connection: socket.socket) -> None:
        nonlocal sent
        if not asked.path.endswith(endless):
            connection.sendall(reply(200, (publisher.directory / Path(asked.path).name).read_bytes()))
            return
        length = f"Content-Length: {1 << 40}\r\n" if announced else ""
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode())
        while True:
            sent += connection.send(bytes(256 * KIB))

    with open_peer(answer) as peer, pytest.raises(Error) as caught:
        asyncio.run(shelf.add(f"http://{peer.host}", publisher.public))
    assert caught.value.code == "download_failed" and str(limit_bytes) in caught.value.message
    assert sent < limit_bytes + 16 * MIB
    assert [each.name for each in shelf.list()] == ["builtin"]
