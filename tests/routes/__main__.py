"""`make fuzz-api`: made-up requests at every route of the API, for some time. Ends with 1 when there is a finding."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import time

from tests.routes.place import open_place
from tests.routes.rounds import Report, Rounds


def play(seconds: float, number: int, each: int) -> Report:
    """A short round, then others for the rest of `seconds`; raises what the daemon says of itself at the end."""
    report = Report()
    with open_place() as place:
        end = time.monotonic() + seconds
        rounds = Rounds(place, number, report)
        rounds.play(math.inf, 1)  # on a busy host, too, each verb gets its requests
        while time.monotonic() < end:
            rounds.play(end, each)
        if place.home.daemon_pid() != place.pid:
            report.note("daemon", "the daemon has ended, and another one runs", "")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.routes", description="Made-up requests, everywhere."
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--reach", type=int, default=0, help="fail if fewer verbs carried out a request")
    parser.add_argument("--each", type=int, default=5, help="requests of a kind for a verb, in each round")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    report = play(arguments.seconds, arguments.seed, arguments.each)
    print(report)
    return 1 if report.findings or len(report.reached()) < arguments.reach else 0


if __name__ == "__main__":
    sys.exit(main())
