"""Names in layers, and how a layer's failures are called."""

from __future__ import annotations

import pytest

from banger.errors import Error
from banger.images.disks.merge.failure import naming_layer
from banger.images.disks.merge.names import normalise
from banger.tar.failure import Corrupt, Refused, TarFailure, TooLarge


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"a/b", b"a/b"),
        (b"/a/b", b"a/b"),
        (b"./a/b", b"a/b"),
        (b".", b""),
        (b"./", b""),
        (b"/", b""),
        (b"a//b/", b"a/b"),
        (b"a/./b/.", b"a/b"),
        (b"a/../b", b"b"),
        (b"a/..", b""),
        (b".a/..b/...", b".a/..b/..."),
        (b"x" * 255, b"x" * 255),
        (b"a\n'\"\x7f\xff\\", b"a\n'\"\x7f\xff\\"),
    ],
)
def test_harmless_names_are_made_plain(name: bytes, path: bytes) -> None:
    assert normalise(name) == path


@pytest.mark.parametrize("name", [b"..", b"../a", b"/../a", b"a/../../b", b"./..", b"x" * 256, b"x/" * 2049])
def test_harmful_names_are_refused(name: bytes) -> None:
    with pytest.raises(Refused):
        normalise(name)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(Corrupt, "layer_corrupt"), (Refused, "layer_refused"), (TooLarge, "layer_too_large")],
)
def test_a_failure_becomes_the_error_of_a_layer(kind: type[TarFailure], code: str) -> None:
    with pytest.raises(Error) as caught, naming_layer(2, "sha256:0"):
        raise kind("it is bad", b"a\x1b")
    assert (caught.value.code, caught.value.details["layer"]) == (code, 2)
    assert caught.value.message == "layer 2 (sha256:0), entry 'a\\x1b': it is bad" and caught.value.hint
