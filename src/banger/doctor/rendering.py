"""A diagnosis as text, as a script, as an exit code. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from banger.doctor.check import Mend, prepare_install
from banger.model.doctor import Diagnosis, Finding
from banger.model.shown import printable

_PROBLEM_CODE = 2
_WARNING_CODE = 1
_AS_ROOT = 'as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }'


def exit_code(diagnosis: Diagnosis, *, strict: bool) -> int:
    """2: something keeps machines from running; 1: with `strict`, something is missing; else 0."""
    seen = {finding.status for finding in diagnosis.findings}
    if "problem" in seen:
        return _PROBLEM_CODE
    return _WARNING_CODE if strict and "warning" in seen else 0


def render(diagnosis: Diagnosis, *, whole: bool = True) -> str:
    """One line per check, then a summary. Without `whole` only problems and warnings have lines."""
    told = [finding for finding in diagnosis.findings if whole or finding.status in ("problem", "warning")]
    width = max((len(finding.check) for finding in told), default=0)
    lines = [_line(finding, width) for finding in told]
    rest = len(diagnosis.findings) - len(told)
    more = f" ({_count(rest, 'other check')}: banger doctor -v)" if rest else ""
    return "\n".join([*lines, _summary(diagnosis) + more])


def _line(finding: Finding, width: int) -> str:
    parts = [finding.found, finding.why, f"mend: {finding.mend}" if finding.mend else ""]
    text = "; ".join(part for part in parts if part)
    return f"{finding.status:<8} {finding.check:<{width}}  {printable(text)}"


def _summary(diagnosis: Diagnosis) -> str:
    counts = {status: 0 for status in ("problem", "warning", "hint")}
    for finding in diagnosis.findings:
        if finding.status != "ok":
            counts[finding.status] += 1
    told = [_count(count, status) for status, count in counts.items() if count]
    return ", ".join(told) if told else "all is well"


def _count(count: int, status: str) -> str:
    return f"{count} {status}{'s' if count > 1 else ''}"


def render_script(mends: Sequence[Mend]) -> str:
    """A shell script with all repairs that --fix leaves; empty if there are none. All packages are installed together.
    What only people can do, and repairs for a mere hint, are comments."""
    left = [mend for mend in mends if mend.act is None]
    needed = [mend for mend in left if not mend.optional]
    packages = tuple(dict.fromkeys(package for mend in needed for package in mend.packages))
    commands = [f"as_root {prepare_install(packages)}"] if packages else []
    commands += [_script_line(mend) for mend in needed if not mend.packages]
    commands += [_optional_line(mend) for mend in left if mend.optional]
    if not commands:
        return ""
    return "\n".join(["#!/bin/sh", "set -eu", _AS_ROOT, *dict.fromkeys(commands), ""])


def _script_line(mend: Mend) -> str:
    command = printable(mend.command or prepare_install(mend.packages))
    return f"as_root {command}" if mend.root else command


def _optional_line(mend: Mend) -> str:
    line = _script_line(mend)
    return line if line.startswith("#") else f"# optional: {line}"
