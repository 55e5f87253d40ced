"""Everything, or what is named. The table goes to the terminal and as JSON to build/bench.json."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench import (
    boots,
    cold_run,
    copying,
    crowd,
    density,
    endurance,
    exec,
    followers,
    fork,
    growth,
    idle,
    importing,
    jail,
    listing,
    network,
    page,
    ping,
    place,
    pulling,
    share,
    ssh,
    systemd,
    version,
    vmms,
    warm,
)
from bench.table import Row, format_table, write_json

Counted = Callable[..., list[Row]]

# In the order in which they run: without a daemon, or with one that starts no machine; with one for all; each with
# daemons of its own.
ALONE: dict[str, Counted] = {
    "version": version.measure,
    "importing": importing.measure,
    "jail": jail.measure,
    "growth": growth.measure,
    "listing": listing.measure,
    "followers": followers.measure,
    "page": page.measure,
    "endurance": endurance.measure,
}
SHARING = ("idle", "exec", "ping", "ssh", "cold", "pull", "share", "copy", "boots")
APART: dict[str, Counted] = {
    "warm": warm.measure,
    "systemd": systemd.measure,
    "crowd": crowd.measure,
    "fork": fork.measure,
    "network": network.measure,
    "density": density.measure,
    "vmms": vmms.measure,
}
NAMES = (*ALONE, *SHARING, *APART)
COUNTED = (
    "boots in a row (20), warm runs (50; systemd and network 20), runs at once (20), children of a fork (10), "
    "clones (200)"
)


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(NAMES))
    parser.add_argument("--count", type=int, help=COUNTED)
    parser.add_argument("--json", type=Path, default=place.ROOT / "build" / "bench.json", metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    if options.count is not None and options.count < 1:
        parser.error("--count is at least 1")
    rows = measure(set(options.names or NAMES), options.count)
    print(format_table(rows))
    write_json(rows, options.json)
    return any(row.name.endswith("that failed") and row.verdict == "MISSED" for row in rows)


def measure(names: set[str], count: int | None) -> list[Row]:
    counted = () if count is None else (count,)
    rows = [row for name, action in ALONE.items() if name in names for row in action()]
    if names & {*SHARING}:
        with place.own_daemon():
            rows += measure_sharing(names, *counted)
    return rows + [row for name, action in APART.items() if name in names for row in action(*counted)]


def measure_sharing(names: set[str], *counted: int) -> list[Row]:
    """In a daemon that runs."""
    rows = idle.measure() if "idle" in names else []
    if names & {"exec", "ping", "ssh"}:
        with place.machine("bench") as machine:
            rows += exec.measure(machine) if "exec" in names else []
            rows += ping.measure(machine) if "ping" in names else []
            rows += ssh.measure(machine) if "ssh" in names else []
    rows += cold_run.measure() if "cold" in names else []
    rows += pulling.measure() if "pull" in names else []
    rows += share.measure() if "share" in names else []
    rows += copying.measure() if "copy" in names else []
    rows += boots.measure(*counted) if "boots" in names else []
    return rows


raise SystemExit(main())
