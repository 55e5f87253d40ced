"""Whom a VMM was started for stands in its log, and is never taken for the VMM's own words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.guests.asker import MARK, note_request
from banger.guests.guest import boot_failure
from banger.model.asked import ASKED, Asked
from banger.vmm.base import VmPlaces


@pytest.fixture
def asked() -> Iterator[None]:
    token = ASKED.set(Asked(request="r1", principal="token ci"))
    yield
    ASKED.reset(token)


@pytest.mark.usefixtures("asked")
def test_the_request_is_named(tmp_path: Path) -> None:
    log = tmp_path / "vmm.log"
    note_request(log, "started")
    note_request(log, "taken from the pool")
    first, second = log.read_text().splitlines()
    assert first.startswith(MARK) and first.endswith("Z started by request r1 (token ci)")
    assert second.endswith("taken from the pool by request r1 (token ci)")
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_start_that_nobody_asked_for_is_the_daemons(tmp_path: Path) -> None:
    note_request(tmp_path / "vmm.log", "started")
    assert (tmp_path / "vmm.log").read_text().endswith(" started by the daemon itself\n")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "vmm.log").symlink_to("victim")
    note_request(tmp_path / "vmm.log", "started")
    assert (tmp_path / "victim").read_text() == "mine" and not (tmp_path / "vmm.log").is_symlink()


def test_a_line_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    note_request(tmp_path / "none" / "vmm.log", "started")


def test_the_error_of_a_vmm_has_its_words_not_ours(tmp_path: Path) -> None:
    places = VmPlaces(name="dev", directory=tmp_path, run_directory=tmp_path)
    note_request(places.vmm_log, "started")
    silent = boot_failure(places, "qemu", 1)
    assert silent.message == "qemu ended: exit code 1, before the kernel of dev wrote a line"
    with open(places.vmm_log, "a") as log:
        print("no such disk", file=log)
    assert boot_failure(places, "qemu", 1).message == "qemu ended: no such disk"
    assert os.listdir(tmp_path) == ["vmm.log"]
