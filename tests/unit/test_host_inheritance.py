"""What a daemon sheds, tried in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SHED = """
import json, os, resource, sys
from banger.errors import Error
from banger.host.inheritance import shed
if os.environ.get("AS_NOBODY") and os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    shed(int(sys.argv[1]) if sys.argv[1:] else None)
except Error as exc:
    print(json.dumps(exc.as_dict()))
    raise SystemExit(1)
limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
files = [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps({"cwd": os.getcwd(), "files": files, "limits": limits, "environ": dict(os.environ)}))
"""


def shed(shell: str, *words: str, cwd: Path | None = None, **environment: str) -> Any:
    """What is left of what `shell` set up before it became the program."""
    argv = ["bash", "-c", f'{shell}; exec "$@"', "shell", sys.executable, "-c", SHED, *words]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment})
    return json.loads(done.stdout)


def test_limits_of_a_shell_are_raised_again() -> None:
    left = shed("ulimit -S -f 10; ulimit -S -n 100; ulimit -S -t 500; ulimit -S -u 900")["limits"]
    for name in ("RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_NPROC"):
        soft, hard = left[name]
        assert soft == hard, name


def test_open_files_are_closed_also_above_the_limit() -> None:
    left = shed("exec 9</dev/null 12</dev/null 200</dev/null; ulimit -n 100", "12")["files"]
    assert {fd for fd in left if fd > 2} == {12}


def test_the_working_directory_is_left_and_what_was_named_from_it_is_still_found(tmp_path: Path) -> None:
    left = shed("true", cwd=tmp_path, BANGER_HOME="home", PATH=f".::{os.environ['PATH']}")
    assert left["cwd"] == "/"
    assert left["environ"]["BANGER_HOME"] == f"{tmp_path}/home"
    assert left["environ"]["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(("shell", "word"), [("ulimit -n 40", "ulimit -n"), ("ulimit -f 10", "ulimit -f")])
def test_limits_too_low_to_work_with_are_named(shell: str, word: str) -> None:
    """Of an ordinary user: root may raise them."""
    error = shed(shell, AS_NOBODY="1")
    assert error["code"] == "daemon_start_failed" and word in error["hint"]


def test_no_core_is_dumped_neither_to_a_file_nor_to_a_program() -> None:
    assert shed("ulimit -c unlimited")["limits"]["RLIMIT_CORE"] == [1, 1]
