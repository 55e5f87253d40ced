"""Watching an operation to its end, with progress. Ctrl-C cancels an operation that this command began."""

from __future__ import annotations

import contextlib

from banger.cli.daemon import Daemon
from banger.cli.progress import Progress, Step
from banger.client.calls import operations_cancel, operations_events
from banger.client.exchange import decode_line
from banger.client.http1 import lost
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.messages import Json


def finish_operation(daemon: Daemon, operation: Json, quiet: bool = False) -> Json:
    """Watch an operation that this command began, and return it ended. Raises the error that it failed with."""
    identifier = str(operation.get("id", ""))
    try:
        return watch_operation(daemon, identifier, quiet)
    except KeyboardInterrupt:
        with contextlib.suppress(Error):
            daemon.call(operations_cancel(identifier))
        raise


def watch_operation(daemon: Daemon, identifier: str, quiet: bool = False) -> Json:
    """Show the progress of an operation until it ends, and return it ended. Raises the error that it failed with."""
    ended = _follow(daemon, identifier, Progress(quiet))
    error = ended.get("error")
    if isinstance(error, dict):
        raise Error.from_dict(error)
    if ended.get("state") == "cancelled":
        raise Error("cancelled", f"operation {identifier} was cancelled")
    return ended


def _follow(daemon: Daemon, identifier: str, progress: Progress) -> Json:
    with daemon.open(operations_events(identifier)) as answer, contextlib.closing(progress):
        for line in answer.lines():
            event = decode_line(line)
            operation = event.get("operation")
            if isinstance(operation, dict):
                return operation
            progress.show(_step(event))
    raise lost("before the operation did")


def _step(event: Json) -> Step:
    done, total = event.get("done"), event.get("total")
    return Step(
        str(event.get("phase", "")),
        str(event.get("message", "")),
        done if isinstance(done, int) else 0,
        total if isinstance(total, int) else 0,
        str(event.get("unit", "")),
        event.get("layers"),
    )
