"""`make crash`: rounds until enough has been killed, then the report. Ends with 1 when there is a finding."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import time

from tests.crash.driver import Round, as_user_of
from tests.crash.homes import crash_home, reset
from tests.crash.report import Report

_KILLS_A_ROUND = 25
# More of them are the same ones again, most likely.
_MOST_FINDINGS = 10


def main() -> int:
    arguments = _parse()
    report = Report(arguments.seed)
    begun = time.monotonic()
    end = begun + arguments.seconds
    with crash_home() as home, as_user_of(home) as client:
        number = arguments.round or 1
        while report.kill_count < arguments.kills and (left_s := end - time.monotonic()) > 0:
            kills = min(_KILLS_A_ROUND, arguments.kills - report.kill_count)
            if not Round(home, client, report, number).play(kills, left_s):
                print(report.findings[-1], flush=True)
                reset(home)
            print(f"round {number}: {report.kill_count} kills, {len(report.findings)} findings", flush=True)
            if arguments.round or len(report.findings) >= _MOST_FINDINGS:
                break
            number += 1
        report.seconds = time.monotonic() - begun
    print(f"\n{report}")
    return 1 if report.findings else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash", description="Kill banger at random moments."
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--seconds", type=float, default=math.inf, help="end earlier, after so much time")
    parser.add_argument("--round", type=int, default=0, help="play this round only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
