"""All checks at once, each with a limit: a check that hangs neither delays nor hides the others."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

from banger import __version__
from banger.doctor.check import Check, Mend, Sight, in_thread
from banger.doctor.host import Host, look_around, unknown_host
from banger.errors import Error
from banger.model.doctor import Diagnosis, Finding

CHECK_S = 5.0
_BACKSTOP_S = 5.5
_AROUND_S = 4.0


async def examine(checks: Sequence[Check]) -> tuple[Diagnosis, list[Mend], Host]:
    """The findings in the order of the checks, the repairs, and the host. Takes ten seconds or so at most."""
    host = await _look_around()
    tasks = [asyncio.create_task(_look(check, host)) for check in checks]
    done, _ = await asyncio.wait(tasks, timeout=_BACKSTOP_S) if tasks else (set(), set())
    results = [
        task.result() if task in done else (_late(check), None)
        for check, task in zip(checks, tasks, strict=True)
    ]
    findings = [finding for finding, _ in results]
    mends = [
        dataclasses.replace(mend, optional=finding.status == "hint")
        for finding, mend in results
        if mend is not None and finding.status != "ok"
    ]
    return Diagnosis(version=__version__, findings=findings), mends, host


async def _look_around() -> Host:
    """The facts of the host. If its disk or daemon does not answer in time, nothing is known of it; the checks will say
    more."""
    try:
        async with asyncio.timeout(_AROUND_S):
            return await in_thread(look_around)
    except TimeoutError:
        return unknown_host(f"its answer and its configuration could not be read within {_AROUND_S:g} s")


async def _look(check: Check, host: Host) -> tuple[Finding, Mend | None]:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(CHECK_S):
            sight = await check.look(host)
    except TimeoutError:
        return _late(check), None
    except Error as exc:
        sight = Sight(exc.message, fine=False, mend=Mend(f"# {exc.hint}") if exc.hint else None)
    except Exception as exc:
        sight = Sight(f"the check failed: {type(exc).__name__}: {exc}", fine=False)
    finding = _judge(check, sight)
    finding.took_ms = round((time.monotonic() - begun) * 1000, 1)
    return finding, sight.mend


def _judge(check: Check, sight: Sight) -> Finding:
    if sight.fine:
        return Finding(check=check.name, status="ok", found=sight.found)
    return Finding(
        check=check.name,
        status=sight.status or check.status,
        found=sight.found,
        why=sight.why or check.why,
        mend=sight.mend.text if sight.mend else "",
    )


def _late(check: Check) -> Finding:
    return Finding(
        check=check.name,
        status="warning",
        found=f"no answer within {CHECK_S:g} s",
        why=check.why,
        mend="# run the check again when this host is less busy",
        took_ms=CHECK_S * 1000,
    )
