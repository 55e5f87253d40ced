"""Whole processes of `banger vm run --rm`, and what each says itself of where its time went.

`--timings` is on in every run that is measured, so that time and phases are of the same runs; printing them is part
of the time.
"""

from __future__ import annotations

import re
import subprocess
import time

from bench.noise import Sample
from bench.place import BANGER, IMAGE
from bench.table import Row

PHASES = (
    "cli start",
    "create",
    "resolve",
    "template",
    "restore",
    "disk",
    "kernel",
    "identity",
    "init",
    "exec",
    "run",
    "teardown",
)
_LINE = re.compile(r"^(\S[\S ]*?) +([0-9.]+) ms$", re.MULTILINE)


class Runs:
    """Runs of one kind, such as those with `--cold`; what they say of themselves is kept."""

    def __init__(self, *options: str) -> None:
        self._argv = (BANGER, "vm", "run", "--rm", "--timings", *options, IMAGE, "--", "true")
        self._phases: list[dict[str, float]] = []

    def whole_ms(self) -> float:
        """One more run, from the start of the process to its end."""
        begun = time.perf_counter()
        done = subprocess.run(
            self._argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        taken = (time.perf_counter() - begun) * 1000
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(self._argv)} ended with {done.returncode}: {done.stderr}")
        self._phases.append({name: float(spent) for name, spent in _LINE.findall(done.stderr)})
        return taken

    def without_waiting(self, last: int) -> int:
        """How many of the last so many had to restore a clone themselves, as none waited for them."""
        return sum("template" in phases for phases in self._phases[-last:])

    def phase_rows(self, kind: str, last: int) -> list[Row]:
        """The phases of the last so many, which leaves out what warmed up."""
        taken = {name: [phases[name] for phases in self._phases[-last:] if name in phases] for name in PHASES}
        return [
            Row(f"{kind}: {name}", "ms", Sample(tuple(values))) for name, values in taken.items() if values
        ]
