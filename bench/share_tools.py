"""What people do in a directory that they share: git and a compiler, which the guest gets from this host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.place import BANGER, call

_LIMIT_S = 300
# The guest has these itself, and they belong to its own loader.
_OF_THE_GUEST = ("libc.so", "libm.so")
_HEADERS, _FUNCTIONS = 10, 40

ENVIRONMENT = "export PATH=$PATH:/tools LD_LIBRARY_PATH=/tools HOME=/root"
STATUS = "(cd $d/many && git status >/dev/null)"
COMPILE = "(cd $d/source && for f in *.c; do gcc -B/tools/ -O1 -c $f; done)"


def find_tools() -> list[Path]:
    """The programs and their libraries; none where this host lacks one."""
    git, gcc = shutil.which("git"), shutil.which("gcc")
    if git is None or gcc is None:
        return []
    parts = [_said(gcc, f"-print-prog-name={name}") for name in ("cc1", "as")]
    programs = [Path(path) for path in (git, gcc, parts[0], shutil.which(parts[1]) or "") if path]
    libraries = {
        Path(line.split()[2])
        for line in _said("ldd", *map(str, programs)).splitlines()
        if "=> /" in line and not any(name in line for name in _OF_THE_GUEST)
    }
    return [*programs, *sorted(libraries)]


def _said(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def send_tools(tools: list[Path], machine: str) -> None:
    """To /tools of the guest."""
    pack = ["tar", "-cPhf", "-", "--hard-dereference", "--transform", "s,.*/,,", *map(str, tools)]
    unpack = [BANGER, "vm", "exec", "-i", machine, "--", "sh", "-c", "mkdir /tools && tar -xf - -C /tools"]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
        subprocess.run(unpack, stdin=packing.stdout, check=True, timeout=_LIMIT_S)


def fill_work(directory: Path, compiled: int) -> None:
    """Makes a repository of `many`, and `compiled` sources that include ten headers each."""
    many = directory / "many"
    call("git", "init", "-q", within=many)
    call("git", "add", ".", within=many)
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    call("git", *who, "commit", "-q", "-m", "all", within=many)
    source = directory / "source"
    source.mkdir()
    for header in range(_HEADERS):
        lines = [
            f"static inline int f{header}_{n}(int x) {{ return x * {n} + {header}; }}"
            for n in range(_FUNCTIONS)
        ]
        (source / f"header-{header}.h").write_text("\n".join(lines) + "\n")
    includes = "".join(f'#include "header-{header}.h"\n' for header in range(_HEADERS))
    for number in range(compiled):
        (source / f"part-{number}.c").write_text(
            f"{includes}int part{number}(int x) {{ return f0_1(f3_2(x)); }}\n"
        )
