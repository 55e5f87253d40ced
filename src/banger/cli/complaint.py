"""What the daemon has against a value, in the words of the command line: the option, and the rule."""

from __future__ import annotations

from banger.errors import Error

# field of the API: option, if it is called otherwise
_OPTIONS = {
    "memory_mib": "--memory",
    "disk_bytes": "--disk",
    "cpus": "--cpus",
    "boot_timeout_s": "--boot-timeout",
    "idle_pause_s": "--idle-pause",
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
    "grace_s": "--timeout",
    "size_bytes": "--size",
}
_UNITS = {"mib": "MiB", "bytes": " bytes", "s": " seconds"}
_PATTERNS = {
    "restart": "no, always, unless-stopped or on-failure[:N] is expected",
    "tag": "letters, digits, '.', '_' and '-' are expected, a letter or digit first",
    "argv": "a NUL is in no argument",
    "entrypoint": "a NUL is in no argument",
    "env": "a NUL is in no variable",
    "cwd": "a NUL is in no path",
    "user": "a NUL is in no name of a user",
}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def reword(error: Error) -> Error:
    """Itself, or the same of an option and of a rule that a person can follow."""
    where = error.details.get("at")
    if not isinstance(where, str):
        return error
    field = where.rstrip("`.").split("[")[0].rpartition(".")[2]
    rule = _rule(error.message.partition(" - at `")[0], field)
    option = _OPTIONS.get(field, field.replace("_", " "))
    message = f"{option}: {rule}" if option not in ("", "$") else rule
    return Error(error.code, message, "`--help` of the command explains its words", error.details)


def _rule(said: str, field: str) -> str:
    """Of what msgspec says: "Expected `int` >= 64", "Expected `str` of length <= 64"."""
    if " matching regex " in said:
        return _PATTERNS.get(field, "it has letters that are not allowed")
    for sign, words in _BOUNDS.items():
        before, found, bound = said.partition(f" {sign} ")
        if found:
            return f"{words} {bound.removesuffix('.0')}{_unit(before, field)} is allowed"
    return said.replace("`", "")


def _unit(before: str, field: str) -> str:
    if before.endswith("of length"):
        return " characters" if "`str`" in before else ""
    return _UNITS.get(field.rpartition("_")[2], "")
