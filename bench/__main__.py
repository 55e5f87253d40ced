"""Everything, or one measurement by name. The table goes to the terminal and as JSON to build/bench.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import boots, cold_run, exec, idle, importing, ping, place, pulling, version
from bench.table import Row, format_table, write_json

NAMES = ("version", "importing", "idle", "exec", "ping", "cold", "pull", "boots")


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(NAMES))
    parser.add_argument("--count", type=int, default=20, help="boots in a row (20)")
    parser.add_argument("--json", type=Path, default=place.ROOT / "build" / "bench.json", metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}")
    rows = measure(set(options.names or NAMES), options.count)
    print(format_table(rows))
    write_json(rows, options.json)
    return any(row.name.endswith("that failed") and row.verdict == "MISSED" for row in rows)


def measure(names: set[str], boots_in_a_row: int) -> list[Row]:
    rows = version.measure() if "version" in names else []
    rows += importing.measure() if "importing" in names else []
    if names <= {"version", "importing"}:
        return rows
    with place.own_daemon():
        if "idle" in names:
            rows += idle.measure()
        if names & {"exec", "ping"}:
            with place.machine("bench") as machine:
                rows += exec.measure(machine) if "exec" in names else []
                rows += ping.measure(machine) if "ping" in names else []
        if "cold" in names:
            rows += cold_run.measure()
        if "pull" in names:
            rows += pulling.measure()
        if "boots" in names:
            rows += boots.measure(boots_in_a_row)
    return rows


raise SystemExit(main())
