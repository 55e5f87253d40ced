"""What the benches compare banger with can still be measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, open_home

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]


def test_the_floor_under_a_cold_boot_boots(home: Home) -> None:
    """The product's own functions make its command line."""
    home.text("run", "--rm", IMAGE, "--", "true")
    program = "import pathlib, sys; from bench.floor import Floor; print(Floor(pathlib.Path(sys.argv[1])).boot_ms())"
    done = subprocess.run(
        [sys.executable, "-c", program, str(home.directory / "cache/kernels")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 60_000


HIDDEN = 'mount --bind /dev/null /dev/net/tun && exec "$@"'
_NETWORK = """
import pathlib, sys
from bench.network import Amounts, compare
from bench.sides import NAT, TAP, Side
from bench.table import format_table
sides = [Side(TAP, pathlib.Path(sys.argv[1])), Side(NAT, pathlib.Path(sys.argv[2]))]
amounts = Amounts(rounds=1, stream_bytes=1 << 20, echoes=3, connections=20, at_once=20, runs=1)
print(format_table(compare(sides, amounts)))
"""


def test_machines_on_taps_and_on_user_nat_are_compared() -> None:
    """The numbers are of no interest, but nothing fails."""
    with open_home(pool=1) as tapped, open_home(pool=1) as untapped:
        if why := tapped.json("system", "info")["no_taps"]:
            pytest.skip(f"capability missing: taps: {why}")
        start_without_taps(untapped)
        directories = [str(home.directory) for home in (tapped, untapped)]
        done = subprocess.run(
            [sys.executable, "-c", _NETWORK, *directories],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    for failing in ("20 short connections", "20 connections at once"):
        assert rows[f"published port: of {failing}, those that failed"][-1] == "met"
    assert rows["keeper and relay, private memory"][-1] == "met"
    assert len([name for name in rows if "private memory with" in name]) == 3
    assert {
        "network: a guest sends to another guest",
        "network: connect and echo between guests",
    } <= rows.keys()
    assert len([name for name in rows if "what a tap adds" in name]) == 3


def start_without_taps(home: Home) -> None:
    """With a daemon that sees no device of taps."""
    command = ["unshare", "--mount", "sh", "-c", HIDDEN, "sh", *home.argv("system", "start")]
    if subprocess.run(command, env=home.env, capture_output=True).returncode != 0:
        pytest.skip("capability missing: a mount namespace")
    assert home.json("system", "info")["no_taps"]


_COMPARED = """
import pathlib, sys
from bench.compare import Side, compare
from bench.table import format_table
program, *homes = sys.argv[1:]
print(format_table(compare([Side(name, program, pathlib.Path(home)) for name, home in zip("ab", homes)], 1)))
"""


def test_two_commits_are_compared() -> None:
    """Here they are the same; nothing fails, and both leave nothing."""
    with open_home(pool=1) as one, open_home(pool=1) as other:
        program = str(Path(sys.executable).parent / "banger")
        directories = [str(home.directory) for home in (one, other)]
        done = subprocess.run(
            [sys.executable, "-c", _COMPARED, program, *directories],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert one.leftovers() == [] and other.leftovers() == []
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == 18 and sum(": a over b  " in row for row in rows) == 6
