"""Static programs in C for guests that are not banger's own."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.place import call

# Those of banger's agent that decide how the compiler builds its C library: with others it builds a second one, which
# takes half a minute of both processors. It does so, too, where its own files are below the working directory.
_FLAGS = ("-target", "x86_64-linux-musl", "-static", "-pie", "-Os", "-s", "-fno-unwind-tables")


def compile_static(source: Path, target: Path) -> None:
    warnings = ("-Wall", "-Wextra", "-Werror")
    compiler = (sys.executable, "-m", "ziglang", "cc")
    call(*compiler, *_FLAGS, *warnings, source.name, "-o", str(target), within=source.parent)
