"""Images made here leave as layers: to a real registry, and in archives; other tools read both."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from banger.host import cpu
from tests.support.home import Home, open_home
from tests.support.layers import Member, digest, tar_of
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


@pytest.mark.timeout(300)  # five machines boot
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


def test_a_pulled_image_is_pushed_and_saved_byte_for_byte(
    committed: Home, shelf: Shelf, tmp_path: Path
) -> None:
    """An image of two platforms in one registry, its own platform in another; each manifest keeps its digest."""
    source = f"{shelf.registry}/both:1"
    built = [
        shelf.builder.image("both", [{"srv/x": arch.encode()}], arch=arch) for arch in ("amd64", "arm64")
    ]
    shelf.builder.push_index(built, f"docker://{source}")
    listed = json.loads(_raw(source))["manifests"]
    own = cpu.architecture()
    (digest,) = [one["digest"] for one in listed if one["platform"]["architecture"] == own]
    committed.text("pull", source)
    with open_registry_server(tmp_path / "elsewhere") as server:
        target = f"{server.host}/copies/both:2"
        pushed = committed.json("push", source, target)
        assert (pushed["digest"], server.digest_of("copies/both:2")) == (digest, digest)
        assert _raw(target) == _raw(f"{shelf.registry}/both@{digest}")
        assert _blobs(target, tmp_path / "a") == _blobs(f"{shelf.registry}/both@{digest}", tmp_path / "b")
        assert committed.json("push", source, target)["sent"] == 0
        file = tmp_path / "both.tar"
        committed.text("save", "-o", str(file), source)
        assert call("skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{file}") == digest
        committed.text("load", "-q", "-i", str(file))
        assert committed.json("push", source, f"{server.host}/copies/both:3")["digest"] == digest
    assert [one["name"] for one in committed.json("vm", "list")] == []


def test_an_image_whose_registry_is_gone_is_saved_as_long_as_its_layers_are_here(
    committed: Home, shelf: Shelf, tmp_path: Path
) -> None:
    image = shelf.builder.image("fleeting", [{"srv/x": b"x"}], arch=cpu.architecture())
    with open_registry_server(tmp_path / "fleeting") as server:
        source = f"{server.host}/fleeting:1"
        shelf.builder.push(image, f"docker://{source}")
        digest = server.digest_of("fleeting:1")
        committed.text("pull", source)
    file = tmp_path / "fleeting.tar"
    committed.text("save", "-o", str(file), source)
    assert call("skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{file}") == digest
    pushed = committed.json("push", source, f"{shelf.registry}/fleeting:1")
    assert pushed["digest"] == digest


def test_several_images_in_one_archive_are_read_by_podman_skopeo_and_here(
    committed: Home, shelf: Shelf, tmp_path: Path
) -> None:
    """The images share layers, and two have the same tag."""
    base = shelf.ref("changeable")
    committed.text("tag", base, "lab/one:1")
    committed.text("tag", base, "lab/two:1")
    committed.text("pull", shelf.ref("changeable-lower"))
    committed.text("tag", shelf.ref("changeable-lower"), "lab/lower:2")
    names = ["lab/one:1", "lab/two:1", "lab/lower:2"]
    file = tmp_path / "all.tar"
    committed.text("save", "-q", "-m", "--format", "docker-archive", "-o", str(file), *names)
    with tarfile.open(file) as archive:
        members = archive.getnames()
        assert len(members) == len(set(members))
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        entries = json.load(manifest)
    assert [entry["RepoTags"] for entry in entries] == [[name] for name in names]
    assert entries[0] == {**entries[1], "RepoTags": ["lab/one:1"]}
    assert set(entries[2]["Layers"]) < set(entries[0]["Layers"])
    for name in names:
        for form in ("docker-archive", "oci-archive"):
            wanted = f"{form}:{file}:{name}"
            got = call("skopeo", "inspect", "--config", wanted)
            assert json.loads(got)["rootfs"]["diff_ids"] == _diff_ids(entries, names.index(name), file)
    again = tmp_path / "podman.tar"
    assert _through_podman(file, again) == {f"localhost/{name}" for name in names}
    for name in names:
        committed.text("rmi", name)
    said = committed.text("load", "-q", "-i", str(file))
    assert said == "".join(f"Loaded image: {name}\n" for name in names)
    assert {*names} <= {one["name"] for one in committed.json("image", "list")}
    said = committed.text("load", "-q", "-i", str(again))
    # For podman, one and two are one image with two names.
    assert sorted(said.splitlines()) == sorted(f"Loaded image: localhost/{name}" for name in names)


def _through_podman(file: Path, again: Path) -> set[str]:
    """Load the archive, save all of it again; the names that podman gave the images."""
    require_tools("podman")
    with TemporaryDirectory(prefix="pod-", dir="/tmp") as short:  # it refuses long paths
        podman = ["podman", "--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs"]
        loaded = call(*podman, "load", "-q", "-i", str(file)).splitlines()
        names = {line.removeprefix("Loaded image: ") for line in loaded}
        call(*podman, "save", "-q", "-m", "-o", str(again), *sorted(names))
        return names


def _raw(where: str) -> str:
    return call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{where}")


def _blobs(where: str, directory: Path) -> dict[str, bytes]:
    """All files of an image, the manifest too, by name."""
    call(
        "skopeo",
        "copy",
        "--src-tls-verify=false",
        "--preserve-digests",
        f"docker://{where}",
        f"dir:{directory}",
    )
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def _diff_ids(entries: list[dict[str, Any]], number: int, file: Path) -> list[str]:
    with tarfile.open(file) as archive:
        config = archive.extractfile(entries[number]["Config"])
        assert config is not None
        found: list[str] = json.load(config)["rootfs"]["diff_ids"]
        return found


def _check_run(home: Home, image: str) -> None:
    script = "cat /srv/made /srv/changed /srv/hard; ls /srv; stat -c %a /srv/private"
    said = home.text("run", "--rm", "--entrypoint", "/sh", image, "--", "-c", script).split()
    assert said == ["made", "other", "made", "changed", "hard", "link", "made", "private", "700"]


def test_an_image_of_an_archive_that_is_for_another_platform_hides_none_after_it(
    committed: Home, tmp_path: Path
) -> None:
    ours = cpu.architecture()
    layer = tar_of([Member(b"file", data=b"one")])
    members, entries = [Member(b"layer.tar", data=layer)], []
    for number, architecture in enumerate([ours, "s390x", ours]):
        rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
        config = {"os": "linux", "architecture": architecture, "config": {}, "rootfs": rootfs}
        members.append(Member(f"{number}.json".encode(), data=json.dumps(config).encode()))
        tags = [f"mixed/image-{number}:1", *([] if number else ["mixed/also"])]
        entries.append({"Config": f"{number}.json", "RepoTags": tags, "Layers": ["layer.tar"]})
    file = tmp_path / "mixed.tar"
    file.write_bytes(tar_of([*members, Member(b"manifest.json", data=json.dumps(entries).encode())]))
    loaded = committed.run("load", "-i", str(file))
    names = "mixed/image-0:1", "mixed/also:latest", "mixed/image-2:1"
    assert loaded.stdout.decode() == "".join(f"Loaded image: {name}\n" for name in names)
    assert loaded.returncode == 125 and b"s390x" in loaded.stderr
    committed.text("rmi", *names)
