"""--tmpfs, --read-only and --ulimit, as Docker writes them, and as the agent is told them."""

from __future__ import annotations

import pytest

from banger.errors import Error
from banger.machines.life.guest_wishes import check_wishes, plan_limits_of_processes, plan_mounts
from banger.model.machine import MachineSpec
from banger.wire.constants import Tag


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/run", b"14 mode=1777 /run"),
        ("/a b/", b"14 mode=1777 /a b"),
        ("/x:size=64m,mode=0700", b"14 size=64m,mode=0700 /x"),
        ("/x:rw,exec,suid,dev", b"0 mode=1777 /x"),
        ("/x:ro,noexec,nosuid,nodev,noatime", b"1039 mode=1777 /x"),
        ("/x:exec,uid=5,gid=6,size=50%", b"6 uid=5,gid=6,size=50%,mode=1777 /x"),
        ("/x:", b"14 mode=1777 /x"),
    ],
)
def test_a_tmpfs_is_told_as_flags_options_and_path(text: str, told: bytes) -> None:
    assert list(plan_mounts(MachineSpec(image="x", tmpfs=[text]))) == [(Tag.TMPFS, told)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run",
        "/",
        "//",
        "/proc",
        "/dev/",
        "/x/../etc",
        "/x:size=",
        "/x:size=1,foo",
        "/x:size=1 /etc",
        "/a\0b",
    ],
)
def test_a_tmpfs_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Error) as raised:
        check_wishes(MachineSpec(image="x", tmpfs=[text]))
    assert raised.value.code == "bad_spec" and raised.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nofile=64", b"7 64 64"),
        ("nofile=64:128", b"7 64 128"),
        ("core=0", b"4 0 0"),
        ("memlock=-1:-1", b"8 18446744073709551615 18446744073709551615"),
        ("nproc=10:unlimited", b"6 10 18446744073709551615"),
    ],
)
def test_a_limit_is_told_as_numbers(text: str, told: bytes) -> None:
    assert list(plan_limits_of_processes([text])) == [told]


@pytest.mark.parametrize(
    "text",
    ["", "nofile", "nofile=", "nofile=x", "nofile=2:1", "nofile=-1:5", "files=3", "nofile=1:2:3", "=1"],
)
def test_a_limit_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(Error) as raised:
        check_wishes(MachineSpec(image="x", ulimits=[text]))
    assert raised.value.code == "bad_spec"


def test_an_init_of_the_image_mounts_by_itself() -> None:
    for spec in (MachineSpec(image="x", read_only=True), MachineSpec(image="x", tmpfs=["/run"])):
        check_wishes(spec)
        spec.init = "image"
        with pytest.raises(Error, match="own init"):
            check_wishes(spec)
