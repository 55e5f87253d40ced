"""What the agent tells of a watched directory, cut at any place, and what no agent tells."""

from __future__ import annotations

import pytest

from banger.client.file_events import EventReader, FileEvent
from banger.client.outputs import Said
from banger.errors import Error

TOLD = b"ready\0\0\0created\0a\0\0moved\0a\0b/\xe9\0overflow\0\0\0deleted\0\0\0"


def stdout(data: bytes) -> Said:
    return Said("stdout", data, data.decode("utf-8", "replace"))


@pytest.mark.parametrize("size", [1, 3, 7, len(TOLD)])
def test_events_come_whole_wherever_the_stream_is_cut(size: int) -> None:
    reader = EventReader("/srv")
    for at in range(0, len(TOLD), size):
        reader.add(stdout(TOLD[at : at + size]))
    assert reader.is_ready
    assert list(reader.events) == [
        FileEvent("created", "/srv/a"),
        FileEvent("moved", "/srv/a", "/srv/b/\udce9"),
        FileEvent("overflow", "/srv"),
        FileEvent("deleted", "/srv"),
    ]
    reader.check_end(0)


@pytest.mark.parametrize(
    "told",
    [pytest.param(b"a" * 20_000, id="without an end"), pytest.param(b"burnt\0a\0\0", id="another kind")],
)
def test_what_no_agent_tells_is_refused(told: bytes) -> None:
    with pytest.raises(Error) as caught:
        EventReader("/srv").add(stdout(told))
    assert caught.value.code == "agent_error"


@pytest.mark.parametrize(
    ("exit_code", "code"), [(4, "file_not_found"), (1, "agent_error"), (None, "daemon_unreachable")]
)
def test_a_watch_that_fails_says_why(exit_code: int | None, code: str) -> None:
    reader = EventReader("/srv")
    reader.add(Said("stderr", b"", "first\nwatch: /srv: No such\x1b thing\n"))
    with pytest.raises(Error) as caught:
        reader.check_end(exit_code)
    assert caught.value.code == code
    assert exit_code is None or caught.value.message.endswith("watch: /srv: No such thing")
