"""Names of images that are nearly the name of a catalog's image."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.catalogs.shelf import Shelf
from banger.errors import NoSuchImage
from banger.images.records.names import refuse_misspelt
from tests.support.paths import paths_below


@pytest.mark.parametrize(
    ("ref", "meant"),
    [
        ("debian-bokworm", "debian-bookworm"),
        ("debian-bookwarm", "debian-bookworm"),
        ("debian-trixe", "debian-trixie"),
        ("debian-bookworm-sysemd", "debian-bookworm-systemd"),
    ],
)
def test_a_misspelt_name_is_asked_about_before_a_registry_is_asked(
    ref: str, meant: str, tmp_path: Path
) -> None:
    with pytest.raises(NoSuchImage) as caught:
        refuse_misspelt(ref, Shelf(paths_below(tmp_path)))
    assert f"did you mean {meant}?" in caught.value.hint and f"docker.io/library/{ref}" in caught.value.hint


@pytest.mark.parametrize(
    "ref",
    [
        *("debian", "alpine", "debian-bookworm", "debian-bookwork:12", "docker.io/library/debian-bokworm"),
        *("debian-bullseye", "", "-", "oci:debian-bokworm", "127.0.0.1:5000/debian-bokworm"),
    ],
)
def test_other_names_are_let_through(ref: str, tmp_path: Path) -> None:
    refuse_misspelt(ref, Shelf(paths_below(tmp_path)))
