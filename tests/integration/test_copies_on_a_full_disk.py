"""A copy out of a machine for which the host has no room."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from banger.client.trees.complaints import Complaints
from banger.client.trees.unpacking import unpack_tree
from banger.errors import Error
from banger.model.sizes import MIB
from tests.support.layers import END, header, padded
from tests.support.small_disk import mounted_small

pytestmark = pytest.mark.integration

TREE = header(b"tree/", flag=tarfile.DIRTYPE, mode=0o755)
SMALL = header(b"tree/small", 1) + padded(b"s")


def pieces_of(*names: bytes) -> list[bytes]:
    data = os.urandom(3 * MIB)
    return [TREE, SMALL, *(piece for name in names for piece in (header(name, len(data)), data)), END]


def test_what_does_not_fit_is_named_and_what_fits_stays(tmp_path: Path) -> None:
    place = tmp_path / "small"
    with mounted_small(place, "4m"):
        with pytest.raises(Error, match=r"cannot write .*here/second: No space") as caught:
            unpack_tree(
                pieces_of(b"tree/first", b"tree/second"), lambda _: (str(place), "here"), Complaints()
            )
        assert caught.value.code == "insufficient_disk" and "free space" in caught.value.hint
        assert sorted(os.listdir(place / "here")) == ["first", "small"]


def test_a_file_that_is_to_be_replaced_stays_when_the_new_one_does_not_fit(tmp_path: Path) -> None:
    place = tmp_path / "small"
    with mounted_small(place, "4m"):
        (place / "here").mkdir()
        (place / "here/first").write_bytes(b"before" * (MIB // 3))
        with pytest.raises(Error) as caught:
            unpack_tree(pieces_of(b"tree/first"), lambda _: (str(place), "here"), Complaints())
        assert caught.value.code == "insufficient_disk"
        assert (place / "here/first").read_bytes() == b"before" * (MIB // 3)


def test_names_that_do_not_fit_are_no_room_either(tmp_path: Path) -> None:
    """Links and directories: what has no contents."""
    place = tmp_path / "small"
    with mounted_small(place, "64k,nr_inodes=8"):
        links = [header(b"tree/%d" % number, flag=tarfile.SYMTYPE, target=b"small") for number in range(20)]
        with pytest.raises(Error) as caught:
            unpack_tree([TREE, SMALL, *links, END], lambda _: (str(place), "here"), Complaints())
        assert caught.value.code == "insufficient_disk"
