"""Records of machines in stores of earlier versions, in which sentences say why a machine ended (up to version 4) and
what it came from (up to version 6): the sentences become facts. These steps are released, so they never change, even
if the words and types of later versions do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

_AT_REST = ("stopped", "failed")
_RESTART = re.compile(r"; starts again(?: in ([0-9][0-9.e+]*) s)?\Z")
_COMMAND = re.compile(r"its command ended with ([0-9]{1,5})(: OOM-killed in the guest)?\Z")
_PANIC = "the guest's kernel panicked"
_KILLED_FOR_MEMORY = "the host's kernel killed the VMM"
_VMM_SAID = "the VMM said "
_KNOWN: dict[str, dict[str, Any]] = {
    "stopped as asked": {"kind": "as_asked"},
    "the guest rebooted": {"kind": "reboot"},
    "the guest powered off": {"kind": "poweroff"},
    "the VMM was ended by a signal": {"kind": "vmm_killed", "by_signal": True},
    "the VMM ended unexpectedly": {"kind": "vmm_killed"},
    "the VMM had ended while no daemon ran": {"kind": "unseen"},
    "the host was rebooted": {"kind": "host_reboot"},
    "the daemon ended during the machine's start": {"kind": "start_interrupted"},
    "the start was cancelled": {"kind": "start_cancelled"},
}


def with_ending(raw: bytes) -> bytes:
    """The record with facts beside the sentence about its end. Bytes that are no record of a machine stay as they
    are."""
    return _rewritten(raw, _facts)


def with_origin(raw: bytes) -> bytes:
    """The record with a fact in place of the sentence about its origin. Bytes that are no record of a machine stay as
    they are."""
    return _rewritten(raw, lambda record: {"origin": _origin(record.get("origin") or "")})


def _rewritten(raw: bytes, facts: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    try:
        record = msgspec.json.decode(raw)
        record |= facts(record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, AttributeError):
        return raw
    return msgspec.json.encode(record)


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"has_started": bool(record.get("timings_ms"))}
    state, reason = record.get("state"), record.get("reason")
    if state == "paused":
        facts["pause_cause"] = next((cause for cause in ("idle", "disk_full") if record.get(cause)), "user")
    elif state in _AT_REST and reason:
        due = _RESTART.search(reason)
        facts["ending"] = _ending(reason[: due.start()] if due else reason, record)
        # After the end of its daemon, version 4 still restarted only machines whose guests had rebooted.
        if due and facts["ending"]["kind"] == "reboot":
            facts["restart_in_s"] = float(due[1] or 0)
    return facts


def _ending(words: str, record: dict[str, Any]) -> dict[str, Any]:
    if known := _KNOWN.get(words):
        return known
    if command := _COMMAND.fullmatch(words):
        ended = record.get("exit") or {"code": int(command[1])}
        return {"kind": "oom" if command[2] else "command", "exit": ended}
    if words.startswith(_PANIC):
        return {"kind": "panic", "message": words.removeprefix(_PANIC).removeprefix(": ")}
    if words.startswith(_KILLED_FOR_MEMORY):
        return {
            "kind": "memory_limit",
            "limit_bytes": (record.get("spec") or {}).get("memory_limit_bytes", 0),
        }
    if words.startswith(_VMM_SAID):
        return {"kind": "vmm_ended", "said": words.removeprefix(_VMM_SAID)}
    return {"kind": "start_failed", "code": "", "message": words}


def _origin(words: str) -> dict[str, Any] | None:
    kind, _, name = words.partition(" ")
    match kind:
        case "boot":
            return {"kind": "boot"}
        case "template":
            return {"kind": "template", "template": name}
        case "snapshot":
            machine, _, tag = name.partition(":")
            return {"kind": "snapshot", "machine": machine, "tag": tag}
        case "fork":
            return {"kind": "fork", "machine": name.removeprefix("of ")}
    return None
