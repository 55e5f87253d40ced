"""Pushes to registries that fail: connections that break, tokens that end, refusals, silence."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from banger.errors import Error
from banger.images.fetch import retries
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.transport import Timeouts
from banger.images.made.documents import Layered
from banger.images.made.pushing import hold, push
from banger.images.reference.documents import LAYER_TAR, Documents, Layer, digest_of
from banger.images.reference.reference import parse_reference
from banger.model.image import Pushed
from tests.support.faulty_registry import (
    Exchange,
    FaultyRegistry,
    breaks_off,
    open_faulty_registry,
    says,
)
from tests.support.pace import allowed_s
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

_DATA = bytes(range(256)) * 40_000
_LAYER = Layer(digest_of(_DATA), len(_DATA), LAYER_TAR, digest_of(_DATA))
_DOCUMENTS = Documents(b'{"schemaVersion": 2}', b"{}")
_QUICK = Timeouts(connect=2, read=2, head=2, small=2, pace=2, taken=0.5)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the registry asked for, which are not made."""
    asked: list[float] = []

    def pause(failed: int, patience: object, asked_s: float = 0) -> float:
        asked.append(asked_s)
        return 0.01

    monkeypatch.setattr(retries, "pause", pause)
    return asked


def send(
    registry: FaultyRegistry,
    config: Path,
    origin: str = "",
    timeouts: Timeouts | None = None,
    blob: ByteRange | None = None,
) -> Pushed:
    with blob or hold(_DATA) as held:
        source = parse_reference(origin) if origin else None
        image = Layered(_DOCUMENTS, [(_LAYER, held)], source)
        target = parse_reference(f"{registry.host}/a:1")
        return asyncio.run(push(target, image, config, False, silent, timeouts))


def failure(registry: FaultyRegistry, config: Path, timeouts: Timeouts | None = None) -> Error:
    with pytest.raises(Error) as caught:
        send(registry, config, timeouts=timeouts)
    assert caught.value.hint and registry.host in caught.value.message
    assert not registry.manifests
    return caught.value


def test_an_upload_that_breaks_off_begins_anew(tmp_path: Path) -> None:
    with open_faulty_registry() as registry:
        registry.faults["put"] = [breaks_off, breaks_off, breaks_off]
        assert send(registry, tmp_path).sent == 1
        assert registry.blobs[_LAYER.digest] == _DATA
    assert registry.log == ["head", *["post", "put"] * 4, "head", "post", "put", "manifest"]


def test_an_upload_that_always_breaks_off_ends(tmp_path: Path) -> None:
    with open_faulty_registry() as registry:
        registry.faults["put"] = [breaks_off] * 100
        assert failure(registry, tmp_path).code == "download_failed"
    assert registry.log.count("put") == 6


@pytest.mark.parametrize("status", [404, 416])
def test_an_upload_that_the_registry_forgot_begins_anew(status: int, tmp_path: Path) -> None:
    with open_faulty_registry() as registry:
        registry.faults["put"] = [says(status)]
        assert send(registry, tmp_path).sent == 1
        assert registry.blobs[_LAYER.digest] == _DATA


def test_a_token_that_ends_during_a_push_is_fetched_anew(tmp_path: Path) -> None:
    def ends(exchange: Exchange) -> None:
        registry.accepted = "none that anybody has"
        challenge = f'Bearer realm="http://{registry.host}/token",service="s"'
        b"".join(exchange.body())
        exchange.answer(401, WWW_Authenticate=challenge)

    with open_faulty_registry() as registry:
        registry.accepted = "none yet"
        registry.faults["put"] = [ends]
        assert send(registry, tmp_path).sent == 1
        assert registry.blobs[_LAYER.digest] == _DATA
    assert len(registry.tokens) == 2
    assert all("scope=repository%3Aa%3Apull%2Cpush" in asked for asked in registry.tokens)


@pytest.mark.parametrize(
    ("step", "status", "code", "words"),
    [
        ("post", 404, "registry_error", "has no repository"),
        ("post", 405, "registry_error", "takes no image"),
        ("post", 403, "registry_denied", "does not allow"),
        ("put", 413, "registry_error", "too large"),
        ("put", 403, "registry_denied", "does not allow"),
        ("put", 400, "registry_error", "status 400"),
        ("manifest", 413, "registry_error", "too large"),
        ("manifest", 400, "registry_error", "does not accept the manifest"),
        ("manifest", 404, "registry_error", "does not accept the manifest"),
        ("manifest", 409, "registry_error", "does not accept the manifest"),
    ],
)
def test_a_refusal_is_an_error_at_once(step: str, status: int, code: str, words: str, tmp_path: Path) -> None:
    with open_faulty_registry() as registry:
        registry.faults[step] = [says(status)]
        error = failure(registry, tmp_path)
    assert error.code == code and words in error.message


@pytest.mark.parametrize("step", ["head", "post", "put", "manifest"])
@pytest.mark.parametrize(("status", "code"), [(429, "registry_busy"), (503, "download_failed")])
def test_what_may_pass_is_tried_again_within_limits(
    step: str, status: int, code: str, no_pauses: list[float], tmp_path: Path
) -> None:
    with open_faulty_registry() as registry:
        registry.faults[step] = [says(status, Retry_After="7"), says(status)]
        assert send(registry, tmp_path).sent == 1
        assert no_pauses == [7, 0]
    with open_faulty_registry() as registry:
        registry.faults[step] = [says(status)] * 100
        assert failure(registry, tmp_path).code == code
        assert registry.log.count(step) <= 6
    with open_faulty_registry() as registry:
        registry.faults[step] = [says(status, Retry_After="3600")] * 100
        error = failure(registry, tmp_path)
        assert error.details["retry_after_s"] == 3600 and registry.log.count(step) == 1


def test_a_refusal_before_the_body_was_read_is_told(tmp_path: Path) -> None:
    """As a proxy does with a body that is too large: it answers, and reads no more."""

    def refuse(exchange: Exchange) -> None:
        exchange.answer(413, Connection="close")
        exchange.hang_up()

    with open_faulty_registry() as registry:
        registry.faults["put"] = [refuse] * 100
        error = failure(registry, tmp_path)
    assert error.code == "registry_error" and "too large" in error.message


def test_a_registry_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    released = threading.Event()

    def wait(exchange: Exchange) -> None:
        b"".join(exchange.body())
        released.wait(30)

    with open_faulty_registry() as registry:
        registry.faults["put"] = [wait] * 100
        begun = time.monotonic()
        error = failure(registry, tmp_path, _QUICK)
        released.set()
    assert error.code == "download_failed" and time.monotonic() - begun < allowed_s(15)


def test_a_registry_may_stop_reading_for_longer_than_connecting_takes(tmp_path: Path) -> None:
    def dawdle(exchange: Exchange) -> None:
        time.sleep(1.5)
        exchange._take_blob()

    with open_faulty_registry() as registry:
        registry.faults["put"] = [dawdle]
        patient = Timeouts(connect=0.3, read=0.3, pace=20, taken=20)
        assert send(registry, tmp_path, timeouts=patient).sent == 1
    assert registry.log.count("put") == 2  # the layer and the configuration


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_registry_that_does_not_mount_gets_the_blob(status: int, tmp_path: Path) -> None:
    with open_faulty_registry() as registry:
        registry.faults["post"] = [says(status)]
        assert send(registry, tmp_path, origin=f"{registry.host}/elsewhere:1").sent == 1
        assert registry.blobs[_LAYER.digest] == _DATA
    assert registry.log == ["head", "post", "post", "put", "head", "post", "put", "manifest"]


def test_a_blob_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    short = hold(_DATA[:1000])
    short.size = len(_DATA)
    with open_faulty_registry() as registry, pytest.raises(Error) as caught:
        send(registry, tmp_path, blob=short)
    assert caught.value.code == "image_invalid" and not registry.manifests
