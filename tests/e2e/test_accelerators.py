"""A KVM that only looks usable: the first machine finds out, and all of them run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from banger.host import cpu
from tests.support.home import IMAGE, open_home

LYING = 'mount --bind "$1" /proc/cpuinfo && shift && exec "$@"'


def test_an_accelerator_is_tried_with_a_real_kernel_once(tmp_path: Path) -> None:
    if cpu.check_kvm().usable or not Path("/dev/kvm").exists() or cpu.architecture() != "amd64":
        pytest.skip("capability missing: a /dev/kvm that opens, on a processor that shows no virtualisation")
    if os.geteuid() != 0:
        pytest.skip("capability missing: root, to mount over /proc/cpuinfo")
    lying = tmp_path / "cpuinfo"
    lying.write_text(Path("/proc/cpuinfo").read_text().replace("flags\t\t: ", "flags\t\t: vmx "))
    with open_home() as home:
        start = ["unshare", "--mount", "sh", "-c", LYING, "sh", str(lying), *home.argv("system", "start")]
        subprocess.run(start, env=home.env, check=True, capture_output=True, timeout=60)
        first = home.run("run", "-d", "--name", "first", IMAGE, check=True)
        second = home.run("run", "-d", "--name", "second", IMAGE, check=True)
        machines = [home.json("vm", "show", name) for name in ("first", "second")]
        assert home.text("exec", "second", "--", "echo", "runs") == "runs\n"
        assert home.daemon_log().count("accelerator kvm: ") == 1
        if machines[0]["accel"] != "kvm":
            assert {machine["accel"] for machine in machines} == {"tcg"}
            assert all("does not boot with kvm" in machine["accel_reason"] for machine in machines)
            assert b"software emulation" in first.stderr and b"warning" not in second.stderr
            refused = home.run("run", "--rm", "--accel", "kvm", IMAGE, "--", "true")
            assert refused.returncode == 125 and b"kvm cannot be used here" in refused.stderr
