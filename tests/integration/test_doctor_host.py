"""The doctor and a host that lacks something: each check sees what was really taken away."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import banger
from banger.host import cpu, jail
from banger.host.run import have_tool
from tests.support.no_ipv6 import without_ipv6
from tests.support.pace import allowed_s
from tests.support.patient import (
    BARE_DEV,
    NOBODY,
    REPOSITORY,
    Patient,
    open_patient,
    require_mounts,
    write_program,
)

pytestmark = pytest.mark.integration
QEMU = "qemu-system-x86_64"
needs_qemu = pytest.mark.skipif(not have_tool(QEMU), reason=f"capability missing: {QEMU}")


@pytest.fixture
def patient() -> Iterator[Patient]:
    with open_patient() as opened:
        yield opened


@pytest.fixture
def nobodys_patient(patient: Patient) -> Patient:
    require_mounts()
    if not all(place.stat().st_mode & stat.S_IXOTH for place in Path(banger.__file__).parents):
        pytest.skip("capability missing: a checkout that other users can read")
    patient.directory.mkdir(mode=0o700)
    os.chown(patient.directory, NOBODY, NOBODY)
    return patient


def path_with(directory: Path) -> dict[str, str]:
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


def hide(*programs: str) -> str:
    """Commands after which these are no programs."""
    paths = [
        path for program in programs if (path := shutil.which(program, path=os.defpath + ":/usr/sbin:/sbin"))
    ]
    return "\n".join(f"mount --bind /dev/null {path}" for path in paths)


def test_a_host_without_dev_kvm_emulates(patient: Patient) -> None:
    finding = patient.look("accelerator", hurt=BARE_DEV)
    assert finding["status"] == "hint"
    assert "/dev/kvm does not exist" in finding["found"] and "software emulation" in finding["found"]
    assert finding["mend"]


def test_a_user_who_may_not_open_dev_kvm_is_told_so(nobodys_patient: Patient) -> None:
    if not Path("/dev/kvm").exists():
        pytest.skip("capability missing: /dev/kvm")
    finding = nobodys_patient.look("accelerator", user=NOBODY)
    if os.stat("/dev/kvm").st_mode & 0o006 == 0o006:
        pytest.skip("capability missing: a /dev/kvm that not everybody may open")
    assert finding["status"] == "hint" and "does not open: Permission denied" in finding["found"]


def test_no_qemu_is_a_problem_with_the_package_that_mends_it(patient: Patient) -> None:
    finding = patient.look("vmm", hurt=hide(QEMU))
    assert finding["status"] == "problem"
    assert f"{QEMU} is not installed" in finding["found"]
    assert finding["mend"].endswith("apt-get install --no-install-recommends --yes qemu-system-x86")
    assert patient.doctor("--check", "trial", hurt=hide(QEMU)).returncode == 2


@needs_qemu
def test_a_qemu_without_a_command_is_told_with_what_is_lost(patient: Patient, tmp_path: Path) -> None:
    real = shutil.which(QEMU)
    write_program(tmp_path / "bin", QEMU, f'{real} "$@" | sed s/xen-save-devices-state/x-no-such-thing/g')
    finding = patient.look("vmm", env=path_with(tmp_path / "bin"))
    assert finding["status"] == "warning"
    assert "no xen-save-devices-state: no templates, snapshots and forks" in finding["found"]


@needs_qemu
def test_a_qemu_without_microvm_is_a_problem(patient: Patient, tmp_path: Path) -> None:
    real = shutil.which(QEMU)
    write_program(tmp_path / "bin", QEMU, f'{real} "$@" | sed \'s/"microvm"/"gone"/g\'')
    finding = patient.look("vmm", env=path_with(tmp_path / "bin"))
    assert finding["status"] == "problem" and "no machine of kind microvm" in finding["found"]


@needs_qemu
def test_a_machine_runs_within_a_second_or_two(patient: Patient) -> None:
    finding = patient.look("trial")
    assert finding["status"] == "ok", finding
    assert "a machine ran on qemu with" in finding["found"]


@needs_qemu
def test_a_vmm_whose_guest_does_nothing_fails_the_trial(patient: Patient, tmp_path: Path) -> None:
    write_program(tmp_path / "bin", QEMU, f'exec {shutil.which(QEMU)} "$@" -S')
    stuck = patient.look("trial", env=path_with(tmp_path / "bin"))
    assert stuck["status"] == "problem" and "its guest did nothing" in stuck["found"]
    assert stuck["took_ms"] < allowed_s(10) * 1000
    write_program(tmp_path / "bin", QEMU, f'exec {shutil.which(QEMU)} "$@" -device no-such-device')
    broken = patient.look("trial", env=path_with(tmp_path / "bin"))
    assert broken["status"] == "problem" and "no-such-device" in broken["found"]


@needs_qemu
def test_a_kvm_that_only_looks_usable_is_tried_and_the_trial_ends(patient: Patient, tmp_path: Path) -> None:
    """The flags that the rule asks for, on a host that has /dev/kvm. What such a KVM does with a few instructions is
    its own affair: it may run them, and only a kernel would show."""
    if cpu.check_kvm().usable or not Path("/dev/kvm").exists() or cpu.architecture() != "amd64":
        pytest.skip("capability missing: a /dev/kvm that opens and does not work")
    lying = tmp_path / "cpuinfo"
    lying.write_text(Path("/proc/cpuinfo").read_text().replace("flags\t\t: ", "flags\t\t: vmx "))
    finding = patient.look("trial", hurt=f"mount --bind {lying} /proc/cpuinfo")
    if finding["status"] == "ok":
        assert "ran on qemu with kvm and tcg" in finding["found"], finding
    else:
        assert finding["status"] == "warning" and "with tcg, none with kvm: " in finding["found"], finding
        assert "--accel tcg" in finding["mend"]


def test_an_agent_that_was_not_built_is_a_problem(patient: Patient) -> None:
    finding = patient.look("agent", hurt=f"mount -t tmpfs none {REPOSITORY}/src/banger/agent/bin")
    assert finding["status"] == "problem" and "is not built" in finding["found"]
    assert "make setup" in finding["mend"]


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.7.0", "hint"),
        ("1.11.9", "hint"),
        ("1.16.0", "hint"),
        ("1.12.1", "ok"),
        ("1.16.1", "ok"),
        ("2.0.0", "ok"),
    ],
)
def test_a_firecracker_that_cannot_do_all_is_named(
    patient: Patient, tmp_path: Path, version: str, status: str
) -> None:
    write_program(tmp_path / "bin", "firecracker", f"echo Firecracker v{version}")
    finding = patient.look("firecracker", env=path_with(tmp_path / "bin"))
    assert finding["status"] == status and version in finding["found"]


@pytest.mark.parametrize(
    ("version", "status", "word"),
    [("1.16.1", "ok", "in its own jailer"), ("1.15.0", "hint", "1.15.0"), ("", "hint", "not installed")],
)
def test_a_jailer_that_is_asked_for_is_that_of_this_firecracker(
    patient: Patient, tmp_path: Path, version: str, status: str, word: str
) -> None:
    """By the programs that config.toml names."""
    if not jail.look().held >= {"mount"} or os.geteuid() != 0:
        pytest.skip("capability missing: root, and a jail with mounts")
    firecracker = write_program(tmp_path, "firecracker-1.16.1", "echo Firecracker v1.16.1")
    if version:
        write_program(tmp_path, "jailer", f"echo Jailer v{version}")
    patient.write_config(
        f"""vmm.programs = {{ firecracker = "{firecracker}", jailer = "{tmp_path}/jailer" }}
vmm.jails = {{ firecracker = "jailer" }}
"""
    )
    finding = patient.look("firecracker")
    assert finding["status"] == status and word in finding["found"]


@pytest.mark.parametrize(
    ("check", "program", "package"),
    [
        ("qemu-img", "qemu-img", "qemu-utils"),
        ("e2fsprogs", "mke2fs", "e2fsprogs"),
        ("e2fsprogs", "tune2fs", "e2fsprogs"),
        ("mmdebstrap", "mmdebstrap", "mmdebstrap"),
        ("unpacking", "depmod", "kmod"),
        ("unpacking", "dpkg-deb", "dpkg"),
    ],
)
def test_a_program_that_is_not_there_comes_with_its_package(
    patient: Patient, check: str, program: str, package: str
) -> None:
    finding = patient.look(check, hurt=hide(program))
    assert finding["status"] == "warning" and f"{program} is not installed" in finding["found"]
    assert finding["mend"].endswith(f" {package}") and finding["why"]


def test_a_program_that_does_not_start_is_as_good_as_none(patient: Patient, tmp_path: Path) -> None:
    write_program(tmp_path / "bin", "mmdebstrap", "echo 'cannot open shared object file' >&2; exit 127")
    finding = patient.look("mmdebstrap", env=path_with(tmp_path / "bin"))
    assert finding["status"] == "warning" and "cannot open shared object file" in finding["found"]


def test_missing_keys_of_the_archive_are_seen(patient: Patient) -> None:
    finding = patient.look("archive-keys", hurt="mount -t tmpfs none /usr/share/keyrings")
    assert finding["status"] == "warning"
    assert finding["mend"].endswith("install --no-install-recommends --yes debian-archive-keyring")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """A server with a suite's index, on loopback."""
    (tmp_path / "debian/dists/bookworm").mkdir(parents=True)
    (tmp_path / "debian/dists/bookworm/InRelease").write_text("Suite: bookworm\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/debian"
        server.shutdown()


needs_apt = pytest.mark.skipif(not have_tool("apt-get"), reason="capability missing: apt-get")


@needs_apt
def test_an_archive_that_answers_is_fine_and_one_without_the_suite_is_not(
    patient: Patient, archive: str
) -> None:
    direct = {"http_proxy": "", "no_proxy": "127.0.0.1"}
    assert patient.look("archive", env={"BANGER_DEBIAN_MIRROR": archive, **direct})["status"] == "ok"
    finding = patient.look("archive", env={"BANGER_DEBIAN_MIRROR": archive + "/not", **direct})
    assert finding["status"] == "warning" and "404" in finding["found"]


@needs_apt
def test_an_archive_that_is_not_there_or_says_nothing_is_no_reason_to_hang(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        finding = patient.look("archive", env={"BANGER_DEBIAN_MIRROR": f"http://127.0.0.1:{port}/debian"})
        assert finding["status"] == "warning" and finding["took_ms"] < allowed_s(6) * 1000, finding
    finding = patient.look("archive")
    assert finding["status"] == "warning" and "cannot fetch" in finding["found"]


@needs_apt
def test_a_host_whose_apt_knows_no_archive_is_told_the_variable(patient: Patient) -> None:
    empty = """\
mount -t tmpfs none /etc/apt/sources.list.d
[ ! -e /etc/apt/sources.list ] || mount --bind /dev/null /etc/apt/sources.list"""
    finding = patient.look("archive", hurt=empty)
    assert finding["status"] == "warning" and "name no Debian archive" in finding["found"]
    assert "BANGER_DEBIAN_MIRROR" in finding["mend"]


def test_a_kernel_that_makes_no_namespaces_is_seen(patient: Patient) -> None:
    """In a user namespace of its own, whose limits are nobody else's."""
    limit = "echo 0 >/proc/sys/user/max_pid_namespaces; echo 0 >/proc/sys/user/max_user_namespaces"
    argv = ["unshare", "--user", "--map-root-user", "sh", "-ec", limit + '; exec "$@"', "sh"]
    argv += [sys.executable, "-m", "banger.cli.main", "doctor", "--strict", "--check", "namespaces"]
    done = subprocess.run(argv, env=patient.env, capture_output=True, text=True, timeout=60)
    if "unshare failed: Operation not permitted" in done.stderr:
        pytest.skip("capability missing: user namespaces")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot create namespaces" in done.stdout and "No space left" in done.stdout


def test_a_user_without_subordinate_ids_is_told_how_to_get_some(
    nobodys_patient: Patient, tmp_path: Path
) -> None:
    table = nobodys_patient.directory.parent / "table"
    table.write_text("somebody:100000:65536\n")
    tables = f"mount --bind {table} /etc/subuid; mount --bind {table} /etc/subgid"
    finding = nobodys_patient.look("subuids", hurt=tables, user=NOBODY)
    assert finding["status"] == "warning" and "no 65535 subordinate ids" in finding["found"]
    assert finding["mend"] == ("sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 nobody")
    table.write_text("nobody:100000:65536\n")
    finding = nobodys_patient.look("subuids", hurt=tables, user=NOBODY)
    if "cannot be mapped" in finding["found"]:
        pytest.skip(f"capability missing: user namespaces of users: {finding['found']}")
    assert finding["status"] == "ok"
    finding = nobodys_patient.look("subuids", hurt=f"{tables}\n{hide('newuidmap')}", user=NOBODY)
    assert finding["status"] == "warning" and finding["mend"].endswith(" uidmap")


def test_a_host_without_control_groups_can_limit_nothing(patient: Patient) -> None:
    every_mount = "awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort -r | xargs umount -l"
    finding = patient.look("limits", hurt=every_mount)
    assert finding["status"] == "hint" and "no control groups are mounted" in finding["found"]


def test_a_user_to_whom_no_control_group_was_given_can_limit_nothing(nobodys_patient: Patient) -> None:
    finding = nobodys_patient.look("limits", user=NOBODY)
    assert finding["status"] == "hint" and finding["mend"]
    assert "not memory, cpu, pids: no control group is delegated to this user" in finding["found"]


def test_a_host_without_taps_is_told_what_that_means(patient: Patient) -> None:
    finding = patient.look("network", hurt=BARE_DEV)
    assert finding["status"] == "warning" and "tun" in finding["found"]
    assert "policies and published ports are refused" in str(finding)
    assert "modprobe tun" in finding["mend"]


def test_a_host_without_ipv6_gives_taps_with_ipv4_alone(patient: Patient, tmp_path: Path) -> None:
    python = without_ipv6(Path(sys.executable), tmp_path)
    finding = patient.look("network", hurt=f'shift; set -- {python} "$@"')
    if finding["status"] == "warning":
        pytest.skip(f"capability missing: taps: {finding['found']}")
    assert finding["status"] == "ok" and "IPv4 alone" in finding["found"]


def test_a_user_who_may_not_ping_is_told_that_machines_may_not(nobodys_patient: Patient) -> None:
    apart = 'set -- unshare --net -- sh -c \'%s exec "$@"\' sh "$@"'  # where the kernel's own setting counts
    finding = nobodys_patient.look("ping", hurt=apart % "", user=NOBODY)
    assert finding["status"] == "hint" and "ping_group_range" in finding["found"]
    assert "sysctl -w net.ipv4.ping_group_range" in finding["mend"]
    allowed = apart % 'echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range;'
    assert nobodys_patient.look("ping", hurt=allowed, user=NOBODY)["status"] == "ok"
    finding = nobodys_patient.look("ping", hurt=apart % "")
    assert finding["status"] == "ok" and "raw sockets" in finding["found"]


def test_a_host_without_memory_starts_no_machine(patient: Patient, tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemFree: 1000 kB\nMemAvailable: 204800 kB\n")
    finding = patient.look("memory", hurt=f"mount --bind {meminfo} /proc/meminfo")
    assert finding["status"] == "problem" and "200MiB available" in finding["found"]
    patient.write_config('[limits]\nmemory_reserve = "4TiB"\n')
    assert patient.look("memory")["status"] == "problem"


def test_memory_of_own_processes_that_cannot_be_read_is_seen(nobodys_patient: Patient) -> None:
    """The kernel keeps the memory of a program that may be run but not read from its own user."""
    programs = nobodys_patient.directory.parent / "bin"
    programs.mkdir()
    sleep = Path(shutil.copy(shutil.which("sleep") or "/bin/sleep", programs / "sleep"))
    sleep.chmod(0o111)
    finding = nobodys_patient.look("process-memory", user=NOBODY, env=path_with(programs))
    assert (
        finding["status"] == "warning"
        and "cannot read the memory of a process of the same user: Permission denied" in finding["found"]
    )
    sleep.chmod(0o755)
    finding = nobodys_patient.look("process-memory", user=NOBODY)
    assert finding["status"] == "ok" or "ptrace_scope" in finding["found"]


def test_the_look_at_memory_leaves_no_process(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    own = tmp_path / "bin/sleep"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", own)
    patient.look("process-memory", env=path_with(tmp_path / "bin"))
    running = [entry for entry in os.listdir("/proc") if entry.isdigit() and exe_of(entry) == str(own)]
    assert running == []


def exe_of(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
