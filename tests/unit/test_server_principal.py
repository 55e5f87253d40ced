"""Who asks is known by the socket, and paths of the host come only from the user of the daemon and from root."""

from __future__ import annotations

import os

import pytest

from banger.engine.paths import refuse_mounts_of_others, refuse_path_of_others, refuse_sources_of_others
from banger.errors import Error
from banger.model.machine import MachineSpec
from banger.model.mount import Mount
from banger.model.principal import Principal
from banger.server.calls import principal_of

OTHER = Principal(uid=os.geteuid() + 1)
NAMING_PATHS = ["oci:/x", "oci-archive:/x", "docker-archive:/x:a", "tar:/x", "rootfs:/"]


@pytest.mark.parametrize("source", NAMING_PATHS)
def test_a_path_of_the_host_is_opened_for_the_daemons_user_and_root_alone(source: str) -> None:
    for uid in (0, os.geteuid()):
        refuse_sources_of_others(Principal(uid=uid), source)
    with pytest.raises(Error) as caught:
        refuse_sources_of_others(OTHER, source)
    assert caught.value.code == "not_permitted" and "image import" in caught.value.hint


def test_a_bare_path_too() -> None:
    for uid in (0, os.geteuid()):
        refuse_path_of_others(Principal(uid=uid), "/x")
    with pytest.raises(Error) as caught:
        refuse_path_of_others(OTHER, "/x")
    assert caught.value.code == "not_permitted" and "image import" in caught.value.hint


def test_so_are_directories_that_a_machine_shares() -> None:
    """Over TCP, `uid` is the daemon's own user: that a bearer has his token does not make him that user."""
    spec = MachineSpec(image="x", mounts=[Mount(source="/x", target="/y")])
    for uid in (0, os.geteuid()):
        refuse_mounts_of_others(Principal(uid=uid), spec)
        refuse_mounts_of_others(Principal(uid=uid, way="token"), MachineSpec(image="x"))
    far = Principal(uid=os.geteuid(), way="token"), Principal(uid=os.geteuid(), way="browser")
    for principal in (OTHER, *far):
        with pytest.raises(Error) as caught:
            refuse_mounts_of_others(principal, spec)
        assert caught.value.code == "not_permitted" and "banger vm cp" in caught.value.hint


@pytest.mark.parametrize("source", ["debian-bookworm", "docker://a/b", "localhost:5000/oci", "-"])
def test_other_sources_are_for_everybody(source: str) -> None:
    refuse_sources_of_others(OTHER, source)


def test_a_connection_without_a_known_user_is_refused() -> None:
    from starlette.requests import HTTPConnection

    with pytest.raises(Error) as caught:
        principal_of(HTTPConnection({"type": "http", "state": {}}))
    assert caught.value.code == "not_permitted"
