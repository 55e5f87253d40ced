"""An engine in a process of its own, which a test ends by SIGKILL while it does one thing.

    python -m tests.support.doomed_engine HOME JAIL runs|starts|copies

Machine `dev` runs on Firecracker, whose jail is `ours` or its `jailer`. `runs` says so with a line and does no more;
`starts` says so before it starts the machine; `copies` makes forks of it, one after another.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from banger.machines.copies import forks
from tests.support.anywhere import driver_of, keep_users_that_reach_kvm
from tests.support.engine import open_engine
from tests.support.paths import paths_below
from tests.support.reports import silent


async def main(home: str, jail: str, work: str) -> None:
    async with open_engine(paths_below(Path(home)), driver_of(jail)) as engine:
        if work == "starts":
            print("ready", flush=True)
        machine = await engine.run("dev")
        print("ready", flush=True)
        while work == "copies":
            await forks.fork(engine.lives, engine.makings, machine, 1, "child", silent)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[2] == "ours":
        keep_users_that_reach_kvm()
    asyncio.run(main(*sys.argv[1:]))
