"""This checkout against another commit of it: the same commands of both, in turns, and their ratios.

The other commit is checked out and set up below build/compare, with directories and a daemon of its own. Both daemons
run all the time; what is compared is a whole process each time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.noise import in_turns, ratio
from bench.place import BANGER, BUILD, IMAGE, NO_POOL, ROOT
from bench.table import Row, format_table, write_json

COMPARED = ROOT / "build" / "compare"
REST_S = 0.2
_LIMIT_S = 300
_MACHINE = "compared"
_FORKS = 4


@dataclass(frozen=True)
class Side:
    """A banger with a home of its own. `name` stands in the table."""

    name: str
    program: str
    home: Path

    def run(self, *words: str) -> str:
        """Run a command to its end. A failure ends the bench."""
        done = subprocess.run(
            [self.program, *words],
            env={**os.environ, "BANGER_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if done.returncode:
            told = f"{self.name}: {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}"
            raise SystemExit(f"bench: {told}")
        return done.stdout

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def begin(self, settings: str) -> None:
        """A daemon with these settings as its config.toml; image, kernel and template are at hand afterwards."""
        self.stop()
        config = self.home / "config/config.toml"
        config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.write_text(settings)
        self.run("vm", "run", "--rm", IMAGE, "--", "true")

    def stop(self) -> None:
        """Without a daemon and without machines."""
        for machine in self.ask("vm", "list", "-a"):
            self.run("vm", "delete", "--force", machine["name"])
        self.run("system", "stop")

    def rest(self) -> None:
        """Until a clone waits, for a side that has a pool."""
        end = time.monotonic() + _LIMIT_S
        while time.monotonic() < end:
            if any(template["ready"] for template in self.ask("template", "list")):
                return
            time.sleep(0.05)
        raise SystemExit(f"bench: {self.name}: no clone came to wait")


def compare(sides: Sequence[Side], count: int) -> list[Row]:
    """`count` turns of each command; of those that make machines less."""
    fewer = max(1, count // 2)
    with ExitStack() as stack:
        for side in sides:
            side.begin("")
            stack.callback(side.stop)
            side.run("vm", "run", "-d", "--name", _MACHINE, IMAGE, "--", "sleep", "infinity")
        rows = _compared("banger --version", sides, count, lambda side: ["--version"])
        rows += _compared("banger vm list", sides, count, lambda side: ["vm", "list"])
        rows += _compared("banger exec", sides, count, lambda side: ["vm", "exec", _MACHINE, "--", "true"])
        run = ["vm", "run", "--rm", IMAGE, "--", "true"]
        rows += _compared("banger run --rm, once a clone waits", sides, count, lambda side: run, Side.rest)
        fork = ["vm", "fork", "--count", str(_FORKS), _MACHINE]
        rows += _compared(f"banger fork --count {_FORKS}", sides, fewer, lambda side: fork, _delete_forks)
        for side in sides:
            side.begin(NO_POOL)
        return rows + _compared("banger run --rm, without a pool", sides, fewer, lambda side: run)


def _compared(
    what: str,
    sides: Sequence[Side],
    count: int,
    words: Callable[[Side], Sequence[str]],
    prepare: Callable[[Side], object] = lambda side: None,
) -> list[Row]:
    def turn(side: Side) -> float:
        prepare(side)
        time.sleep(REST_S)
        begun = time.perf_counter()
        side.run(*words(side))
        return (time.perf_counter() - begun) * 1000

    taken = in_turns({side.name: partial(turn, side) for side in sides}, count)
    here, there = (taken[side.name] for side in sides)
    rows = [Row(f"{what}: {name}", "ms", sample) for name, sample in taken.items()]
    return [*rows, Row(f"{what}: {sides[0].name} over {sides[1].name}", "x", ratio(here, there))]


def _delete_forks(side: Side) -> None:
    for machine in side.ask("vm", "list", "-a"):
        if machine["name"] != _MACHINE:
            side.run("vm", "delete", "--force", machine["name"])


def checked_out(revision: str) -> Side:
    """The other commit, set up. A set-up that an earlier comparison made is used again."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    place = COMPARED / commit[:12]
    if not place.exists():
        _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(place))
    _git("-C", str(place), "checkout", "--quiet", "--detach", commit)
    print(f"bench: setting up {commit[:12]} in {place}", flush=True)
    subprocess.run(["packaging/setup", "run"], cwd=place, check=True)
    return Side(commit[:12], str(place / ".venv/bin/banger"), COMPARED / f"home-{commit[:12]}")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.compare", description=__doc__)
    parser.add_argument("revision", metavar="REV", help="commit to compare this checkout with")
    parser.add_argument("--count", type=int, default=20, help="turns of each command (default: 20)")
    options = parser.parse_args()
    rows = compare([Side("here", BANGER, BUILD / "compared"), checked_out(options.revision)], options.count)
    print(format_table(rows))
    write_json(rows, ROOT / "build" / "bench-compare.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
