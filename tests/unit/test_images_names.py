"""Names of images that are nearly the name of a catalog's image."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.catalogs.shelf import Shelf
from banger.errors import Error, NoSuchImage
from banger.images.records.names import name_of, other_names, refuse_misspelt
from banger.images.reference.reference import parse_source
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


@pytest.mark.parametrize(
    ("source", "called", "name"),
    [
        ("docker-archive:/tmp/app.tar:@0", "team/app:2", "team/app:2"),
        ("docker-archive:/tmp/app.tar:@0", "", "app:latest"),
        ("docker-archive:/tmp/app.tar:other:1", "team/app:2", "other:1"),
        ("docker-archive:/tmp/app.tar", "team/app:2", "app:latest"),
        ("docker-archive:/tmp/app.tar:@0", "debian-bookworm", None),
        ("docker-archive:/tmp/app.tar:@0", "../../evil", None),
    ],
)
def test_an_image_that_is_asked_for_by_number_is_called_what_its_archive_says(
    source: str, called: str, name: str | None, tmp_path: Path
) -> None:
    shelf = Shelf(paths_below(tmp_path))
    if name is not None:
        assert name_of(parse_source(source), shelf, called) == name
        return
    with pytest.raises(Error) as caught:
        name_of(parse_source(source), shelf, called)
    assert caught.value.code == "bad_name"


def test_an_image_that_is_asked_for_by_number_gets_all_names_of_its_archive(tmp_path: Path) -> None:
    shelf, also = Shelf(paths_below(tmp_path)), ("team/app", "lan:5000/app:2")
    by_number, by_name = "docker-archive:/tmp/app.tar:@0", "docker-archive:/tmp/app.tar:app:1"
    assert other_names(parse_source(by_number), shelf, also) == ["team/app:latest", "lan:5000/app:2"]
    assert other_names(parse_source(by_name), shelf, also) == []
    for name, code in (("debian-bookworm", "name_taken"), ("../../evil", "bad_reference")):
        with pytest.raises(Error) as caught:
            other_names(parse_source(by_number), shelf, [name])
        assert caught.value.code == code
