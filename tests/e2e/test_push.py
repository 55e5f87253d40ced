"""Images made here leave as layers: to a real registry, and in archives; other tools read both."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, open_home
from tests.support.registry import call, open_registry_server, require_tools
from tests.support.shelf import Shelf

pytestmark = [pytest.mark.e2e]

_CHANGES = (
    "echo made > /srv/made; echo other > /srv/changed; rm /srv/gone /srv/gone-directory/inner; "
    "rmdir /srv/gone-directory; ln -s made /srv/link; ln /srv/made /srv/hard; mkdir -m 700 /srv/private"
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    directory = tmp_path_factory.mktemp("push")
    require_tools("skopeo")
    with open_registry_server(directory / "registry") as server:
        shelf = Shelf(directory, server.host)
        try:
            shelf.push_changeable()
            yield shelf
        finally:
            shelf.close()


@pytest.fixture(scope="module")
def committed(shelf: Shelf) -> Iterator[Home]:
    """A home with the image "mine": a machine's disk after some changes."""
    with open_home(own_images=True) as home:
        home.text(
            "run", "-d", "--name", "box", "--init=agent", shelf.ref("changeable"), "--", "/sleep", "1000"
        )
        home.text("exec", "box", "--", "/sh", "-c", _CHANGES)
        home.text("commit", "box", "mine")
        home.text("rm", "-f", "box")
        yield home


def test_a_commit_is_pushed_as_one_layer_above_its_base(
    committed: Home, shelf: Shelf, tmp_path: Path
) -> None:
    target = f"{shelf.registry}/made/mine:1"
    pushed = committed.json("push", "mine", target)
    raw = json.loads(call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{target}"))
    base = json.loads(
        call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{shelf.ref('changeable')}")
    )
    below, own = raw["layers"][:-1], raw["layers"][-1]
    assert [one["digest"] for one in below] == [one["digest"] for one in base["layers"]]
    assert pushed["layers"] == len(raw["layers"]) and pushed["sent"] == 1  # the others were mounted
    call("skopeo", "copy", "--src-tls-verify=false", f"docker://{target}", f"dir:{tmp_path}/copy")
    with tarfile.open(tmp_path / "copy" / own["digest"].partition(":")[2]) as layer:
        members = {member.name.rstrip("/"): member for member in layer}
    assert members.keys() == {
        "srv/made",
        "srv/changed",
        "srv/link",
        "srv/hard",
        "srv/private",
        "srv/.wh.gone",
        "srv/.wh.gone-directory",
    }
    assert members["srv/private"].mode == 0o700 and members["srv/link"].linkname == "made"
    assert committed.json("push", "mine", target)["sent"] == 0
    assert [one["name"] for one in committed.json("vm", "list")] == []
    _check_run(committed, target)


def test_a_saved_archive_is_read_in_both_forms_and_here(
    committed: Home, shelf: Shelf, tmp_path: Path
) -> None:
    file = tmp_path / "mine.tar"
    committed.text("save", "-o", str(file), "mine")
    for form in ("oci-archive", "docker-archive"):
        call("skopeo", "copy", f"{form}:{file}", f"dir:{tmp_path}/{form}")
    committed.text("image", "pull", "--name", "loaded", f"oci-archive:{file}")
    _check_run(committed, "loaded")
    committed.text("image", "delete", "mine")
    assert committed.text("load", "-q", "-i", str(file)) == "Loaded image: mine:latest\n"
    _check_run(committed, "mine")


def _check_run(home: Home, image: str) -> None:
    script = "cat /srv/made /srv/changed /srv/hard; ls /srv; stat -c %a /srv/private"
    said = home.text("run", "--rm", "--entrypoint", "/sh", image, "--", "-c", script).split()
    assert said == ["made", "other", "made", "changed", "hard", "link", "made", "private", "700"]
