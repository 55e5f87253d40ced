"""Record a session of real commands as an animated picture: `python -m docs.record docs/session.svg`.

The commands run in a terminal of their own, against a daemon and machines of their own, below a temporary
`BANGER_HOME`. What the picture shows is what the commands printed, when they printed it; only the speed of the
typing, and the pauses between commands, are made up. A reader who asks for less motion sees the last frame.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLUMNS, LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 84, 20, 8.43, 16
TYPING_SECONDS_PER_CHARACTER, PAUSE_SECONDS = 0.03, 1.2

SESSION = (
    "banger run -d --name dev debian-bookworm sleep infinity",
    "banger exec dev sh -c 'uname -sr; echo 42 > /root/answer'",
    "banger fork --count 3 dev",
    "banger ps",
    "kill -9 $(banger info -f '{{.daemon_pid}}')   # machines do not need the daemon",
    "banger exec dev-2 cat /root/answer",
    "banger rm -f dev dev-1 dev-2 dev-3",
)
# Not shown: makes the disk, the kernel and the frozen machine that `run` clones, as any earlier run would have.
BEFORE = "banger run --rm debian-bookworm true && sleep 5"
AFTER = "banger system stop"

_CONTROL_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b.")


@dataclass(frozen=True)
class Line:
    """A printed line, and when it was complete, in seconds after its command was started."""

    text: str
    seconds: float


@dataclass(frozen=True)
class Command:
    typed: str
    lines: tuple[Line, ...]
    seconds: float


def run_in_terminal(typed: str, environment: dict[str, str]) -> Command:
    """Run a command line in a new terminal. A failure ends the recording: it would show what should not happen."""
    master, slave = pty.openpty()
    begin = time.monotonic()
    process = subprocess.Popen(
        ["/bin/bash", "-c", typed], stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True
    )
    os.close(slave)
    lines = tuple(Line(text, at - begin) for text, at in _lines_of(master, process))
    os.close(master)
    if code := process.wait():
        sys.exit(f"exit code {code} of: {typed}\n" + "\n".join(line.text for line in lines))
    return Command(typed, lines, time.monotonic() - begin)


def _lines_of(terminal: int, process: subprocess.Popen[bytes]) -> Iterator[tuple[str, float]]:
    rest = b""
    while True:
        readable, _, _ = select.select([terminal], [], [], 0.2)
        try:
            # A daemon that was started on the way may hold the terminal open: the command's own end counts.
            piece = os.read(terminal, 65536) if readable else b""
        except OSError:  # the other side of a terminal is closed
            piece = b""
        if not piece and process.poll() is not None:
            break
        *complete, rest = (rest + piece).split(b"\n")
        for line in complete:
            if text := _shown(line):
                yield text, time.monotonic()
    if text := _shown(rest):
        yield text, time.monotonic()


def _shown(line: bytes) -> str:
    """What stays on the screen of a line: no colours, and what was written last over what was there before."""
    text = _CONTROL_SEQUENCE.sub(b"", line).rstrip(b"\r").rsplit(b"\r", 1)[-1]
    return text.decode(errors="replace").rstrip()


def as_picture(commands: list[Command]) -> str:
    """An SVG without scripts: each line is hidden until its time."""
    rows: list[str] = []
    now, top = 0.5, 52

    def add(content: str, style: str) -> None:
        nonlocal top
        rows.append(f'<text x="{MARGIN}" y="{top}" {style}>{content}</text>')
        top += LINE_HEIGHT

    for command in commands:
        length = len(command.typed)
        typing = length * TYPING_SECONDS_PER_CHARACTER
        took = f'<tspan class="took" dx="12">{command.seconds:.2f} s</tspan>'
        code, _, remark = command.typed.partition("   #")
        typed = escape(code) + (f'<tspan class="took">   #{escape(remark)}</tspan>' if remark else "")
        prompt = '<tspan class="prompt">$ </tspan><tspan class="typed">'
        rows.append(
            f'<text x="{MARGIN}" y="{top}" class="type" style="animation-duration:{typing:.2f}s;'
            f'animation-delay:{now:.2f}s;animation-timing-function:steps({length})">{prompt}{typed}</tspan></text>'
        )
        now += typing + 0.3
        shown_length = (length + 2) * CHARACTER_WIDTH + MARGIN
        rows.append(
            f'<text x="{shown_length:.0f}" y="{top}" class="line" style="animation-delay:'
            f'{now + command.seconds:.2f}s">{took}</text>'
        )
        top += LINE_HEIGHT
        for line in command.lines:
            add(escape(line.text), f'class="line" style="animation-delay:{now + line.seconds:.2f}s"')
        now += command.seconds + PAUSE_SECONDS
        top += LINE_HEIGHT // 2

    width, height = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN, top + 4
    body = "\n  ".join(rows)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" aria-labelledby="title">
  <title id="title">A terminal: a machine runs, is forked into three; the daemon is killed; a fork answers</title>
  <style>
    .window {{ fill: #0d1117; stroke: #30363d }}
    .button {{ fill: #30363d }}
    text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre }}
    .prompt {{ fill: #3fb950 }}
    .typed {{ fill: #f0f6fc; font-weight: 600 }}
    .took {{ fill: #8b949e; font-weight: 400 }}
    .line {{ animation: show 0.01s linear both }}
    .type {{ animation: type 1s linear both }}
    @keyframes show {{ from {{ opacity: 0 }} to {{ opacity: 1 }} }}
    @keyframes type {{ from {{ clip-path: inset(0 100% 0 0) }} to {{ clip-path: inset(0 0 0 0) }} }}
    @media (prefers-reduced-motion: reduce) {{ .line, .type {{ animation: none }} }}
  </style>
  <rect class="window" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="8"/>
  <circle class="button" cx="20" cy="18" r="5"/>
  <circle class="button" cx="38" cy="18" r="5"/>
  <circle class="button" cx="56" cy="18" r="5"/>
  {body}
</svg>
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bgr-", dir="/tmp") as home:
        programs = str(Path(sys.executable).parent)
        environment = os.environ | {
            "BANGER_HOME": home,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
        }
        try:
            run_in_terminal(BEFORE, environment)
            commands = [run_in_terminal(typed, environment) for typed in SESSION]
        finally:
            run_in_terminal(AFTER, environment)
    Path(sys.argv[1]).write_text(as_picture(commands))


if __name__ == "__main__":
    main()
