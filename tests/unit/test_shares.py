"""Directories of the host: how users write them, which are refused, and what the server of them gets."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from banger.cli.mounts import read_mounts, read_volumes
from banger.client.results import prepare_spec
from banger.engine.paths import refuse_mounts_of_others
from banger.errors import Error
from banger.guests.shares import find_sources, plan_server, prepare_share
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.life.guest_wishes import check_wishes
from banger.machines.life.shares import check_mounts
from banger.model.machine import MachineSpec
from banger.model.mount import Mount
from banger.model.principal import Principal, Way
from banger.wire.constants import Tag

if TYPE_CHECKING:
    from banger.client.call import Facts


def mount(source: str, target: str, *, read_only: bool = False) -> Facts:
    return {"source": source, "target": target, "read_only": read_only}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/a:/b", mount("/a", "/b")),
        ("/a:/b:ro", mount("/a", "/b", read_only=True)),
        ("/a:/b:rw,cached", mount("/a", "/b")),
        ("/a/../c:/b", mount("/c", "/b")),
        ("./a:/b", mount(os.path.abspath("a"), "/b")),
        (".:/b", mount(os.getcwd(), "/b")),
        ("sub/a:/b", mount(os.path.abspath("sub/a"), "/b")),
        ("~/a:/b", mount(os.path.expanduser("~/a"), "/b")),
    ],
)
def test_a_volume_is_read_as_docker_reads_it(word: str, expected: Facts) -> None:
    assert read_volumes([word], []) == [expected]


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("/a", "bad_spec", "without a name"),
        ("a", "bad_spec", "SOURCE:TARGET"),
        ("d*ta:/b", "bad_spec", "name of a volume"),
        ("data:b", "bad_spec", "absolute"),
        ("/a:b", "bad_spec", "absolute"),
        ("/a:/b:rx", "bad_spec", "'rx'"),
        ("/a:/b:ro:x", "bad_spec", "SOURCE:TARGET"),
        (":/b", "bad_spec", "SOURCE:TARGET"),
        ("/a:", "bad_spec", "SOURCE:TARGET"),
        ("", "bad_spec", "SOURCE:TARGET"),
    ],
)
def test_a_volume_that_means_nothing_is_refused(word: str, code: str, said: str) -> None:
    with pytest.raises(Error, match=said) as refused:
        read_volumes([word], [])
    assert refused.value.code == code
    assert refused.value.hint


def test_labels_of_selinux_are_taken_with_a_line() -> None:
    notes: list[str] = []
    assert read_volumes(["/a:/b:ro,z"], notes) == [mount("/a", "/b", read_only=True)]
    assert ["SELinux" in note for note in notes] == [True]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("type=bind,source=/a,target=/b", mount("/a", "/b")),
        ("type=bind,src=/a,dst=/b,readonly", mount("/a", "/b", read_only=True)),
        ("type=bind,src=/a,destination=/b,ro=true", mount("/a", "/b", read_only=True)),
        ("type=bind,source=a,target=/b,readonly=false", mount(os.path.abspath("a"), "/b")),
        ("type=bind,source=/a,target=/b,bind-propagation=rprivate,consistency=cached", mount("/a", "/b")),
    ],
)
def test_a_mount_is_read_as_docker_reads_it(word: str, expected: Facts) -> None:
    assert read_mounts([word]) == ([expected], [])


@pytest.mark.parametrize(
    ("word", "tmpfs"),
    [
        ("type=tmpfs,destination=/x", "/x"),
        ("type=tmpfs,dst=/x,tmpfs-size=67108864", "/x:size=67108864"),
        ("target=/x,type=tmpfs,tmpfs-mode=0700,tmpfs-size=64MiB", "/x:size=64m,mode=0700"),
        ("type=tmpfs,target=/x,readonly,tmpfs-size=1G", "/x:ro,size=1g"),
    ],
)
def test_a_tmpfs_of_mount_is_one_of_tmpfs(word: str, tmpfs: str) -> None:
    assert read_mounts(["type=bind,source=/a,target=/b", word]) == ([mount("/a", "/b")], [tmpfs])
    check_wishes(MachineSpec(image="x", tmpfs=[tmpfs]))


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("source=/a,target=/b", "bad_spec", "name of a volume"),
        ("type=volume,source=a,target=b", "bad_spec", "absolute"),
        ("type=volume,source=a", "bad_spec", "target="),
        ("type=volume,source=a,target=/b,volume-driver=nfs", "bad_spec", "volume-driver"),
        ("type=npipe,source=/a,target=/b", "bad_spec", "npipe"),
        ("type=tmpfs", "bad_spec", "absolute path"),
        ("type=tmpfs,target=x", "bad_spec", "absolute path"),
        ("type=tmpfs,target=/x:exec", "bad_spec", "without colons"),
        ("type=tmpfs,target=/x,source=/a", "bad_spec", "source"),
        ("type=tmpfs,target=/x,tmpfs-size=much", "bad_spec", "not a size"),
        ("type=tmpfs,target=/x,tmpfs-mode=0899", "bad_spec", "octal"),
        ("type=tmpfs,target=/x,readonly=perhaps", "bad_spec", "readonly"),
        ("type=bind,target=/b", "bad_spec", "source="),
        ("type=bind,source=/a", "bad_spec", "target="),
        ("type=bind,source=/a,target=b", "bad_spec", "absolute"),
        ("type=bind,source=/a,target=/b,colour=red", "bad_spec", "colour"),
        ("type=bind,source=/a,target=/b,readonly=perhaps", "bad_spec", "readonly"),
    ],
)
def test_a_mount_that_means_nothing_is_refused(word: str, code: str, said: str) -> None:
    with pytest.raises(Error, match=said) as refused:
        read_mounts([word])
    assert refused.value.code == code
    assert refused.value.hint


def spec_of(*targets: str) -> MachineSpec:
    return MachineSpec(image="x", mounts=[Mount(source="/a", target=target) for target in targets])


@pytest.mark.parametrize(
    "targets", [("/",), ("//",), ("/./",), ("/b/..",), ("/../b",), ("/b", "/b"), ("/b", "/./b/")]
)
def test_targets_that_cannot_be_mounted_are_refused(targets: tuple[str, ...]) -> None:
    with pytest.raises(Error) as refused:
        check_mounts(spec_of(*targets))
    assert refused.value.code == "bad_spec"


def test_targets_may_lie_in_one_another() -> None:
    check_mounts(spec_of("/b", "/b/c", "/bc"))


def test_sources_are_found_without_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("real")
    mounts = [Mount(source=str(tmp_path / name), target="/b") for name in ("link", "file")]
    assert find_sources(mounts) == [tmp_path.resolve() / "real", tmp_path.resolve() / "file"]


def test_sources_that_cannot_be_shared_are_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "missing", tmp_path / "loop", tmp_path / "pipe", Path("/"), Path("/dev/null")):
        with pytest.raises(Error, match=f"cannot share {source}") as refused:
            find_sources([Mount(source=str(source), target="/b")])
        assert refused.value.code == "bad_mount"
        assert refused.value.hint


def test_the_jail_lets_the_server_write_where_the_guest_may(tmp_path: Path) -> None:
    sources = [Path(path) for path in ("/a", "/a/b", "/c", "/c", "/cd")]
    read_only = [False, True, True, False, True]
    mounts = [Mount(source="/x", target="/y", read_only=only) for only in read_only]
    argv, jail = plan_server(Path("/share"), 5, mounts, sources, tmp_path)
    assert argv[1:] == [
        "--channel=5",
        "--mount=rw:/a",
        "--mount=ro:/a/b",
        "--mount=ro:/c",
        "--mount=rw:/c",
        "--mount=ro:/cd",
    ]
    assert jail.trees == (Path("/a"), Path("/a/b"), Path("/c"))
    assert jail.read == (tmp_path, Path("/cd"))
    assert not jail.network


def test_the_agent_is_told_each_target_with_its_flags() -> None:
    mounts = [Mount(source="/a", target="/b"), Mount(source="/c", target="/d", read_only=True)]
    assert list(prepare_share(mounts, [False, True], "app")) == [
        (Tag.USER, "app"),
        (Tag.TARGET, "/b"),
        (Tag.SHARE_FLAGS, 0),
        (Tag.TARGET, "/d"),
        (Tag.SHARE_FLAGS, 3),
    ]


def test_only_the_daemons_user_and_root_share_directories() -> None:
    refuse_mounts_of_others(Principal(uid=0), spec_of("/b"))
    refuse_mounts_of_others(Principal(uid=os.geteuid()), spec_of("/b"))
    refuse_mounts_of_others(Principal(uid=12345), spec_of())
    with pytest.raises(Error) as refused:
        refuse_mounts_of_others(Principal(uid=12345), spec_of("/b"))
    assert refused.value.code == "not_permitted"


@pytest.mark.parametrize("way", ["browser", "token"])
def test_over_tcp_nobody_shares_directories(way: Way) -> None:
    with pytest.raises(Error) as refused:
        refuse_mounts_of_others(Principal(uid=os.geteuid(), way=way, label="t"), spec_of("/b"))
    assert refused.value.code == "not_permitted"


def test_python_means_sources_as_its_program_would(tmp_path: Path) -> None:
    given: list[Mount | Facts] = [
        {"source": "sub", "target": "/b"},
        {"source": tmp_path, "target": "/c", "read_only": True},
    ]
    given.append(Mount(source="/a/../d", target="/e"))
    assert prepare_spec("x", None, mounts=given).mounts == [
        Mount(source=os.path.abspath("sub"), target="/b"),
        Mount(source=str(tmp_path), target="/c", read_only=True),
        Mount(source="/d", target="/e"),
    ]


def test_a_snapshot_of_strangers_that_names_directories_is_refused(tmp_path: Path) -> None:
    """They would be directories of this host, which a stranger has chosen."""
    holdings: Any = SimpleNamespace(paths=SimpleNamespace(snapshots=tmp_path))
    spec = MachineSpec(image="x", mounts=[Mount(source="/etc", target="/etc")])
    snapshot = SimpleNamespace(machine="theirs", tag="one", spec=spec)
    sealed: Any = SimpleNamespace(manifest=SimpleNamespace(snapshot=snapshot))
    with pytest.raises(Error, match="theirs:one names directories") as refused:
        SnapshotLibrary(holdings).check_manifest(sealed)
    assert refused.value.code == "snapshot_invalid"
