"""The user's browser, started on a page. The link is a secret for two minutes, and other users see the arguments of
programs: the browser is given a file that leads to it, which only this user can read."""

from __future__ import annotations

import os
import shutil
import signal

from banger.errors import Error

_OPENER = "xdg-open"
_PAGE = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={link}">\n'


def start_browser(link: str, directory: str) -> bool:
    """Whether there is a screen, and a program that opens pages on it, which was started. `directory` is private; the
    file of an earlier link there is overwritten. `link` has no character that means something in HTML."""
    opener = shutil.which(_OPENER)
    if opener is None or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    path = os.path.join(directory, "login.html")
    try:
        _write(path, _PAGE.format(link=link))
        os.posix_spawn(
            opener,
            [opener, path],
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError as exc:
        raise Error("tool_failed", f"cannot open a browser: {exc.strerror}", "use --no-open") from exc
    return True


def _write(path: str, text: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
