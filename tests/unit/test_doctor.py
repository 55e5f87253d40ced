"""The doctor's table, its lines, its script and its exit codes; what documentation says of them."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from banger.doctor import examination
from banger.doctor.check import Check, Mend, Sight, advise, blocking, install
from banger.doctor.checks import CHECKS
from banger.doctor.examination import examine
from banger.doctor.host import Host
from banger.doctor.rendering import exit_code, render, render_script
from banger.errors import Error
from banger.model.doctor import Diagnosis, Finding, Status
from banger.vmm.base import Lack
from banger.vmm.qemu.trial import lacks_of
from banger.vmm.trial_kernel import plan_trial_kernel
from tests.support.pace import allowed_s

DOCUMENT = Path(__file__).parents[2] / "docs/doctor.md"


def diagnosis(*statuses: Status) -> Diagnosis:
    findings = [Finding(check=f"c{i}", status=status, found="x") for i, status in enumerate(statuses)]
    return Diagnosis(version="1", findings=findings)


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANGER_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("statuses", "code", "strict_code"),
    [
        ((), 0, 0),
        (("ok", "hint"), 0, 0),
        (("ok", "warning"), 0, 1),
        (("warning", "problem", "hint"), 2, 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(
    statuses: tuple[Status, ...], code: int, strict_code: int
) -> None:
    assert exit_code(diagnosis(*statuses), strict=False) == code
    assert exit_code(diagnosis(*statuses), strict=True) == strict_code


def test_a_finding_is_one_line_whatever_it_holds() -> None:
    hurt = Finding(check="disk", status="warning", found="a\nb \x1b[31m", why="it matters", mend="do this")
    text = render(
        Diagnosis(version="1", findings=[Finding(check="a-check", status="ok", found="well"), hurt])
    )
    assert text.splitlines() == [
        "ok       a-check  well",
        "warning  disk     a\\nb \\x1b[31m; it matters; mend: do this",
        "1 warning",
    ]
    assert render(diagnosis("ok")).splitlines()[-1] == "all is well"
    assert render(diagnosis("hint", "hint", "problem")).splitlines()[-1] == "1 problem, 2 hints"


def test_the_script_installs_all_packages_at_once_and_runs_nothing_that_fix_did() -> None:
    mends = [
        install("kmod", "dpkg"),
        Mend("sysctl -w a.b=1", root=True),
        Mend("banger system restart"),
        Mend("banger system start", act=lambda host: "started"),
        advise("turn it on\nrm -rf /"),
        Mend(root=True, packages=("nftables",), optional=True),
        Mend("# read this", optional=True),
        install("uidmap", "kmod"),
    ]
    lines = render_script(mends).splitlines()
    assert lines[0] == "#!/bin/sh" and lines[2].startswith("as_root()")
    assert lines[3:] == [
        "as_root apt-get install --no-install-recommends --yes kmod dpkg uidmap",
        "as_root sysctl -w a.b=1",
        "banger system restart",
        "# turn it on\\nrm -rf /",
        "# optional: as_root apt-get install --no-install-recommends --yes nftables",
        "# read this",
    ]
    assert render_script([Mend("x", act=lambda host: "")]) == render_script([]) == ""


async def _raise(host: Host) -> NoReturn:
    raise Error("tool_missing", "it is gone", "bring it back")


async def _stumble(host: Host) -> NoReturn:
    raise ZeroDivisionError("by nothing")


def test_a_check_that_fails_by_itself_is_a_finding() -> None:
    checks = [Check("named", "problem", "why", _raise), Check("unnamed", "hint", "why", _stumble)]
    found, _, _ = asyncio.run(examine(checks))
    named, unnamed = found.findings
    assert (named.status, named.found, named.mend) == ("problem", "it is gone", "# bring it back")
    assert unnamed.status == "hint" and "ZeroDivisionError: by nothing" in unnamed.found


def test_checks_that_hang_are_given_up_together_and_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits, one whose thread never comes back."""
    monkeypatch.setattr(examination, "CHECK_S", 0.3)

    async def wait(host: Host) -> Sight:
        await asyncio.sleep(60)
        return Sight("never")

    async def well(host: Host) -> Sight:
        return Sight("well")

    def hang(host: Host) -> Sight:
        time.sleep(60)
        return Sight("never")

    begun = time.monotonic()
    checks = [
        Check("waits", "hint", "w", wait),
        Check("hangs", "hint", "w", blocking(hang)),
        Check("is", "hint", "w", well),
    ]
    found, _, _ = asyncio.run(examine(checks))
    assert time.monotonic() - begun < allowed_s(5)
    assert [finding.status for finding in found.findings] == ["warning", "warning", "ok"]
    assert found.findings[0].found == "no answer within 0.3 s"


def test_every_check_has_a_name_a_reason_and_a_row_in_the_document() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in names)
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    assert rows == [(check.name, check.status) for check in CHECKS]


def test_a_diagnosis_is_json() -> None:
    encoded = msgspec.json.encode(diagnosis("ok", "problem"))
    assert msgspec.json.decode(encoded, type=Diagnosis) == diagnosis("ok", "problem")


def test_the_guest_of_the_trial_is_an_elf_file_with_an_entry_for_pvh() -> None:
    image = plan_trial_kernel()
    assert image[:5] == b"\x7fELF\x02" and image[18:20] == b"\x3e\x00"
    entry = int.from_bytes(image[24:32], "little")
    assert b"Xen\0" + entry.to_bytes(4, "little") in image
    assert image[entry - 0x100000] == 0xBE, "the first instruction"


def test_what_a_vmm_lacks_is_told_with_what_is_lost() -> None:
    known = {"getfd", "migrate-incoming", "blockdev-snapshot-sync", "block_resize"}
    assert lacks_of(known, {"microvm"}) == [
        Lack("no xen-save-devices-state: no templates, snapshots and forks"),
        Lack("no block_set_io_throttle: no --io-limit and --iops-limit"),
    ]
    assert [lack.is_fatal for lack in lacks_of(set(), {"pc"})][:2] == [True, False]
    assert lacks_of(set(), {"pc"})[0].words.startswith("no machine of kind microvm")
