"""The user's terminal while a guest's command uses it: modes and size, and the modes restored."""

from __future__ import annotations

import os
import termios

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
Modes = list[int | list[bytes | int]]


def is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def terminal_size(fd: int) -> tuple[int, int]:
    """Rows and columns; 24 and 80 if they are unknown."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return 24, 80
    return size.lines or 24, size.columns or 80


def output_width() -> int:
    """The columns of the terminal that stdout is; 0 if it is none."""
    return terminal_size(1)[1] if is_terminal(1) else 0


def fold(text: str, width: int) -> str:
    """The text in lines of at most this width, broken between words; what follows the first line is indented."""
    if len(text) <= width:
        return text
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > width:
            lines.append(" ")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def is_coloured() -> bool:
    """Whether stdout is a terminal whose user wants colours."""
    return is_terminal(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Terminal:
    """Saves the modes of a terminal, and restores them at the end of its `with` block, also after an error.

    At first the terminal is *quiet* (typed keys are not shown, Ctrl-C still interrupts banger), so that progress can be
    drawn. After `raw` every key goes to the guest.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._saved: Modes = []
        self._raw = False

    def __enter__(self) -> Terminal:
        self._saved = termios.tcgetattr(self.fd)
        self._set(plan_quiet(self._saved))
        return self

    def __exit__(self, *_: object) -> None:
        self._raw = False
        self._set(self._saved)

    @property
    def is_raw(self) -> bool:
        return self._raw

    def raw(self) -> None:
        """From now on Ctrl-C and Ctrl-Z are ordinary bytes."""
        self._raw = True
        self._set(plan_raw(self._saved))

    def size(self) -> tuple[int, int]:
        return terminal_size(self.fd)

    def _set(self, modes: Modes) -> None:
        """Set modes, and keep typed bytes. A terminal that hung up has no modes."""
        try:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, modes)
        except termios.error:
            return


def plan_quiet(saved: Modes) -> Modes:
    """No echo, no lines, no Ctrl-Z; output and Ctrl-C as before."""
    modes = _copy(saved)
    _clear(modes, _LFLAG, termios.ECHO | termios.ICANON)
    characters = modes[_CC]
    assert isinstance(characters, list)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    characters[termios.VSUSP] = b"\0"
    return modes


def plan_raw(saved: Modes) -> Modes:
    """As cfmakeraw(3)."""
    modes = plan_quiet(saved)
    _clear(
        modes,
        _IFLAG,
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON,
    )
    _clear(modes, _OFLAG, termios.OPOST)
    _clear(modes, _LFLAG, termios.ECHONL | termios.ISIG | termios.IEXTEN)
    _clear(modes, _CFLAG, termios.CSIZE | termios.PARENB)
    flags = modes[_CFLAG]
    assert isinstance(flags, int)
    modes[_CFLAG] = flags | termios.CS8
    return modes


def _copy(modes: Modes) -> Modes:
    return [list(part) if isinstance(part, list) else part for part in modes]


def _clear(modes: Modes, index: int, bits: int) -> None:
    flags = modes[index]
    assert isinstance(flags, int)
    modes[index] = flags & ~bits
