"""What goes wrong says so in a line, with a code and a hint, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from banger.agent.binary import agent_binary
from banger.host import cpu
from banger.host.paths import Paths
from banger.kernels.initramfs import ensure_initramfs, prepare_entries, write_cpio
from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e


def fail(home: Home, *words: str, code: str, exit_code: int = 125, **options: Any) -> str:
    """Run it, expect that failure, and return what was said."""
    before = set(home.leftovers())
    done = home.run(*words, **options)
    said = done.stderr.decode()
    assert done.returncode == exit_code, said
    assert "Traceback" not in said
    lines = said.splitlines()
    assert any(line.startswith("banger: ") for line in lines), said
    assert any(line.startswith("hint: ") for line in lines), said
    in_json = home.run("vm", "show", "no-such-machine", "--json").stderr.decode()
    assert json.loads(in_json)["error"]["code"] == "machine_not_found"
    failed = [op for op in home.json("operation", "list") if op["error"]]
    if failed:
        assert failed[-1]["error"]["code"] == code
    assert set(home.leftovers()) <= before
    return said


def test_an_unknown_image(own_home: Home) -> None:
    words = ("run", "--rm", "127.0.0.1:9/no-such-image", "--", "true")
    assert "no-such-image" in fail(own_home, *words, code="download_failed")


def test_an_unknown_kernel(own_home: Home) -> None:
    words = ("run", "--rm", "--kernel", "no-such-kernel", IMAGE, "--", "true")
    assert "no-such-kernel" in fail(own_home, *words, code="kernel_not_found")


def test_a_name_that_is_taken(home: Home, dev: str) -> None:
    done = home.run("run", "--name", dev, IMAGE, "--", "true")
    assert done.returncode == 125
    assert dev in done.stderr.decode()
    assert home.run("exec", dev, "--", "true").returncode == 0


@pytest.mark.parametrize("bad", ["UPPER", "-x", "a" * 64, "a/b", "../x", "a b"])
def test_a_name_that_is_none(home: Home, bad: str) -> None:
    done = home.run("vm", "create", f"--name={bad}", IMAGE)
    assert done.returncode == 2
    assert b"bad name" in done.stderr


def test_more_memory_than_there_is(own_home: Home) -> None:
    words = ("run", "--rm", "--memory", "900GiB", IMAGE, "--", "true")
    assert "900GiB" in fail(own_home, *words, code="insufficient_memory")


def test_a_command_that_does_not_exist(own_home: Home) -> None:
    done = own_home.run("run", "--rm", IMAGE, "--", "no-such-program")
    assert done.returncode == 127
    assert b"no-such-program" in done.stderr
    assert own_home.leftovers() == []


def test_an_accelerator_that_is_not_usable_is_refused_by_name(own_home: Home) -> None:
    kvm = next(a for a in own_home.json("system", "info")["accelerators"] if a["name"] == "kvm")
    if kvm["usable"]:
        pytest.skip("capability missing: a host without usable KVM")
    words = ("run", "--rm", "--accel", "kvm", IMAGE, "--", "true")
    assert kvm["reason"] in fail(own_home, *words, code="accelerator_unavailable")


def test_no_qemu(own_home: Home, tmp_path: Path) -> None:
    """A PATH with everything but QEMU."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if not tool.name.startswith("qemu-system"):
            (tools / tool.name).symlink_to(tool)
    own_home.env["PATH"] = str(tools)
    said = fail(own_home, "run", "--rm", IMAGE, "--", "true", code="vmm_not_found")
    assert "qemu-system-x86" in said


def test_a_kernel_that_panics_shows_its_last_lines(own_home: Home) -> None:
    """An agent that is no program: the kernel finds no init."""
    replace_agent(own_home, b"this is no program")
    said = fail(own_home, "run", "--rm", "--cold", IMAGE, "--", "true", code="kernel_panic")
    assert "No working init found" in said


def test_an_agent_that_never_answers_hits_the_boot_limit(own_home: Home) -> None:
    """A program in the agent's place that only sleeps."""
    replace_agent(own_home, sleeping_program())
    words = ("run", "--rm", "--cold", "--boot-timeout", "8s", IMAGE, "--", "true")
    assert "8 s" in fail(own_home, *words, code="boot_timeout")


def test_no_room_for_a_machine(own_home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: mounting a small file system needs root")
    machines = own_home.state / "machines"
    machines.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", machines], check=True)
    try:
        said = fail(own_home, "run", "--rm", IMAGE, "--", "true", code="insufficient_disk")
        assert "32MiB free" in said
    finally:
        subprocess.run(["umount", machines], check=True)


def test_a_damaged_store_is_named_and_nothing_is_lost(own_home: Home) -> None:
    own_home.text("system", "stop")
    database = own_home.state / "banger.db"
    kept = database.read_bytes()
    database.write_bytes(b"\0" * 8192)
    assert own_home.json("vm", "list") == []
    (damage,) = own_home.json("system", "info")["store_damage"]
    assert "banger.db.damaged-" in damage
    own_home.text("system", "stop")
    for path in own_home.state.glob("banger.db*"):
        path.unlink()
    database.write_bytes(kept)
    assert own_home.json("image", "list") != []


def replace_agent(home: Home, program: bytes) -> None:
    """Give this home an initramfs of its own, with another /init."""
    golden = (home.directory / "cache").resolve()
    cache = home.directory / "cache"
    cache.unlink()
    cache.mkdir()
    for name in ("images", "kernels"):
        (cache / name).symlink_to(golden / name)
    paths = Paths(home.state, cache, home.directory / "run", home.directory / "config")
    (kernel,) = (path for path in (golden / "kernels").iterdir() if (path / "vmlinux").exists())
    made = ensure_initramfs(paths, kernel, agent_binary(cpu.architecture()))
    entries = prepare_entries(kernel, program, False)
    made.chmod(0o600)
    made.write_bytes(write_cpio(entries))


def sleeping_program() -> bytes:
    """The smallest static ELF: `for (;;) pause();`."""
    code = bytes.fromhex("b8220000000f05ebf7")
    base = 0x400000
    size = 64 + 56 + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code
