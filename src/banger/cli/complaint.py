"""The daemon's complaint about a value, in the words of the command line: the option, and the rule."""

from __future__ import annotations

from banger.errors import Error

# field of the API: option, if its name differs
_OPTIONS = {
    "memory_mib": "--memory",
    "disk_bytes": "--disk",
    "cpus": "--cpus",
    "boot_timeout_s": "--boot-timeout",
    "idle_pause_s": "--idle-pause",
    "ttl_s": "--ttl",
    "memory_limit_bytes": "--memory-limit",
    "io_limit_bytes": "--io-limit",
    "iops_limit": "--iops-limit",
    "pids_limit": "--pids-limit",
    "cpu_limit": "--cpu-limit",
    "restart": "--restart",
    "name": "NAME",
    "tag": "TAG",
    "kernel": "--kernel",
    "image": "IMAGE",
    "ref": "IMAGE",
    "argv": "CMD",
    "entrypoint": "--entrypoint",
    "env": "--env",
    "cwd": "--workdir",
    "user": "--user",
    "timeout_s": "--timeout",
    "count": "--count",
    "grace_s": "--grace",
    "size_bytes": "--size",
}
_UNITS = {"mib": "MiB", "bytes": " bytes", "s": " seconds"}
_PATTERNS = {
    "restart": "expected no, always, unless-stopped or on-failure[:N]",
    "tag": "expected letters, digits, '.', '_' and '-', beginning with a letter or digit",
    "argv": "an argument cannot contain a NUL",
    "entrypoint": "an argument cannot contain a NUL",
    "env": "a variable cannot contain a NUL",
    "cwd": "a path cannot contain a NUL",
    "user": "the name of a user cannot contain a NUL",
}
_BOUNDS = {"at_least": "at least", "at_most": "at most", "more_than": "more than", "less_than": "less than"}


def reword(error: Error) -> Error:
    """The error itself, or an error that names the option and a rule that users understand."""
    where = error.details.get("at")
    if not isinstance(where, str):
        return error
    field = where.rstrip("`.").split("[")[0].rpartition(".")[2]
    rule = _rule(error, field)
    option = _OPTIONS.get(field, field.replace("_", " "))
    message = f"{option}: {rule}" if option not in ("", "$") else rule
    return Error(error.code, message, "see `--help` of the command", error.details)


def _rule(error: Error, field: str) -> str:
    rule = error.details.get("rule")
    kind = rule.get("kind") if isinstance(rule, dict) else None
    if kind == "pattern":
        return _PATTERNS.get(field, "the value contains characters that are not allowed")
    if isinstance(rule, dict) and kind in _BOUNDS:
        counts = str(rule.get("counts", ""))
        verb = "have" if counts else "be"
        return f"must {verb} {_BOUNDS[kind]} {rule.get('bound')}{_unit(counts, field, rule.get('bound'))}"
    return str(error.details.get("expected", error.message)).replace("`", "")


def _unit(counts: str, field: str, bound: object) -> str:
    if counts:
        return " " + (counts.removesuffix("s") if bound == 1 else counts)
    return _UNITS.get(field.rpartition("_")[2], "")
