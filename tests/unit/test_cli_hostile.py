"""Whatever a verb prints, no text of a guest, an image or a stranger commands the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.cli.daemon import Daemon
from banger.cli.dispatch import dispatch
from banger.client.call import Call
from tests.unit.test_client_stand_in import running

HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2066\x00e9\r\n\x7f"
# Words of ours, which are compared and never printed as they came.
OURS = {"state"}

OFFER = {"ref": "n", "architecture": "amd64", "sources": ["s"], "catalog": "c", "description": "d"}
PRUNED = {"count": 1, "freed_bytes": 1, "directory": "d", "dry_run": False}
# What the stand-in does not know.
ANSWERS = {
    ("GET", "/v1/images/catalog"): [OFFER],
    ("GET", "/v1/kernels/catalog"): [OFFER],
    ("GET", "/v1/catalogs"): [{"name": "n", "url": "u", "problem": "p", "version": 1, "created": "x"}],
    ("POST", "/v1/images/tag"): {"name": "base"},
    ("POST", "/v1/images/prune"): PRUNED,
    ("POST", "/v1/images/cache/prune"): PRUNED,
    ("GET", "/v1/system/df"): {"rooms": [{"what": "w", "name": "n", "directory": "d"}], "free_bytes": 1},
    ("POST", "/v1/system/reconcile"): {
        "machines": [{"name": "n", "was": "w", "now": "n", "reason": "r"}],
        "leftovers": [{"kind": "k", "what": "w", "problem": "p"}],
    },
}

# They print what we count and make up.
NOTHING_FOREIGN = {"vm stats dev", "template list -q", "template show 4be1", "system df"}

VERBS = [
    "vm list",
    "vm list -q",
    "vm show dev",
    "vm ports dev",
    "vm health dev",
    "vm stats dev",
    "vm create debian",
    "image list",
    "image list -q",
    "image show debian:12",
    "image catalog",
    "image tag debian:12 base",
    "image prune",
    "image cache prune",
    "kernel list",
    "kernel show debian-cloud",
    "kernel catalog",
    "catalog list",
    "catalog list -q",
    "template list",
    "template list -q",
    "template show 4be1",
    "snapshot list",
    "snapshot list -q",
    "snapshot show dev one",
    "operation list",
    "operation list -q",
    "operation show op1",
    "system info",
    "system df",
    "system reconcile",
]


def poison(data: object, key: str = "") -> object:
    """Every text in it, names of what it consists of too."""
    if isinstance(data, dict):
        poisoned = {name: poison(value, name) for name, value in data.items()}
        return poisoned | {f"x{HOSTILE}": HOSTILE}
    if isinstance(data, list):
        return [poison(item, key) for item in data]
    return data + HOSTILE if isinstance(data, str) and key not in OURS else data


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_verb_passes_on_what_commands_a_terminal(
    verb: str,
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "run").mkdir()
    call = Daemon.call

    def poisoned(daemon: Daemon, asked: Call[object]) -> object:
        return poison(call(daemon, asked))

    monkeypatch.setattr(Daemon, "call", poisoned)
    with running(tmp_path / "run") as stand_in:
        monkeypatch.setenv("BANGER_SOCKET", str(stand_in.path))
        stand_in.answers |= ANSWERS
        noun, name, *rest = verb.split()
        dispatch([noun, name, *(["--json"] if as_json else []), *rest])
    said = capsys.readouterr()
    assert "x1b" in said.out or "u001b" in said.out or verb in NOTHING_FOREIGN
    for text in (said.out, said.err):
        assert text.replace("\n", "").isprintable(), verb
