"""Processes are known by pid and start time, and die through a pidfd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import proc
from banger.host.proc import ProcessRef
from banger.host.spawn import spawn_detached


@pytest.fixture
def sleeper() -> Iterator[ProcessRef]:
    with subprocess.Popen(["sleep", "60"]) as process:
        ref = proc.ref_of(process.pid)
        assert ref is not None
        yield ref
        process.kill()


def test_a_process_is_itself_and_not_a_namesake(sleeper: ProcessRef) -> None:
    assert proc.is_alive(sleeper)
    assert not proc.is_alive(ProcessRef(sleeper.pid, sleeper.start + 1))
    assert not proc.send_signal(ProcessRef(sleeper.pid, sleeper.start + 1), 9)
    assert proc.is_alive(sleeper)


def test_a_name_with_blanks_and_brackets_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as process:
        ref = proc.ref_of(process.pid)
        process.kill()
    assert ref is not None and ref.start > 1000


def test_killing_waits_until_it_is_gone_and_collects_it(sleeper: ProcessRef) -> None:
    assert asyncio.run(proc.kill_and_wait(sleeper))
    assert not proc.is_alive(sleeper)
    assert proc.open_pidfd(sleeper) is None


def test_waiting_has_an_end(sleeper: ProcessRef) -> None:
    assert not asyncio.run(proc.wait_gone(sleeper, timeout_s=0.05))


def test_a_zombie_is_not_alive_and_can_be_collected() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert proc.ref_of(pid) is None
    assert proc.reap(pid) == 0
    assert proc.reap(pid) is None


# Its first thread ends, as hostile code in a VMM can have it with one system call; another goes on.
HEADLESS = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("on", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""


@pytest.fixture
def headless(tmp_path: Path) -> Iterator[ProcessRef]:
    """A process whose first thread has ended."""
    argv = [sys.executable, "-c", HEADLESS]
    environment = {"BANGER_TEST_MARK": str(tmp_path)}
    with subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        deadline = time.monotonic() + 30
        while " Z " not in Path(f"/proc/{process.pid}/stat").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        yield proc.child_ref(process.pid)
        process.kill()


def test_a_process_lives_as_long_as_one_of_its_threads(headless: ProcessRef) -> None:
    assert proc.ref_of(headless.pid) == headless
    assert proc.is_alive(headless)
    assert not asyncio.run(proc.wait_gone(headless, timeout_s=0.05))


def test_a_process_without_its_first_thread_is_killed_like_any(headless: ProcessRef) -> None:
    assert asyncio.run(proc.kill_and_wait(headless))
    assert not proc.is_alive(headless)
    assert not proc.send_signal(headless, 9)
    assert proc.reap(headless.pid) is None  # it was collected


def test_a_process_without_its_first_thread_is_found(headless: ProcessRef, tmp_path: Path) -> None:
    assert proc.find_marked("BANGER_TEST_MARK", str(tmp_path)) == [headless]
    assert proc.working_directory(headless) == str(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: starts programs as another user")
@pytest.mark.parametrize("users", [["--reuid", "12345"], ["--ruid", "12345"]])
def test_what_another_user_started_is_not_ours_whatever_it_says(users: list[str]) -> None:
    """Nor is a set-uid program of root's that another user started."""
    mark = f"test-{os.urandom(6).hex()}"
    argv = ["setpriv", *users, "--clear-groups", "sleep", "60"]
    with subprocess.Popen(argv, env={"BANGER_TEST_MARK": mark, "PATH": os.environ["PATH"]}) as process:
        deadline = time.monotonic() + 30
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep"):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        found = proc.find_marked("BANGER_TEST_MARK", mark)
        process.kill()
    assert found == []


def test_use_is_that_of_the_process_and_none_when_gone(sleeper: ProcessRef) -> None:
    usage = proc.usage(sleeper)
    assert usage is not None
    assert usage.pss_bytes > 0 and usage.threads == 1 and usage.cpu_s < 1
    assert proc.usage(ProcessRef(sleeper.pid, 1)) is None


def test_a_detached_process_is_marked_logged_and_found(tmp_path: Path) -> None:
    mark = f"test-{os.urandom(6).hex()}"
    ref = spawn_detached(
        ["/bin/sh", "-c", "pwd; read x || echo no input; exec sleep 60"],
        marker=mark,
        output=tmp_path / "log",
        cwd=tmp_path,
    )
    try:
        assert os.getsid(ref.pid) == ref.pid
        deadline = time.monotonic() + 5
        name = Path(f"/proc/{ref.pid}/comm")  # amid an exec, a process shows no environment
        while name.read_text() != "sleep\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "log").read_text() == f"{tmp_path}\nno input\n"
        assert proc.find_marked("BANGER_RESOURCE", mark) == [ref]
        assert proc.find_marked("BANGER_RESOURCE", mark[:-1]) == []
    finally:
        assert asyncio.run(proc.kill_and_wait(ref))


def test_a_detached_process_leaves_no_core_and_is_held_to_bounds(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert hard == resource.RLIM_INFINITY or hard > 1 << 20
    ref = spawn_detached(
        ["/bin/sleep", "60"],
        marker="m",
        output=tmp_path / "log",
        cwd=tmp_path,
        bounds={resource.RLIMIT_NOFILE: 77, resource.RLIMIT_FSIZE: 1 << 50},
    )
    try:
        assert resource.prlimit(ref.pid, resource.RLIMIT_CORE) == (0, 0)
        assert resource.prlimit(ref.pid, resource.RLIMIT_NOFILE) == (77, 77)
        _, bound = resource.prlimit(ref.pid, resource.RLIMIT_FSIZE)
        assert bound == (1 << 50 if hard == resource.RLIM_INFINITY else min(hard, 1 << 50))
    finally:
        assert asyncio.run(proc.kill_and_wait(ref))


def test_a_detached_process_lives_on_when_a_file_may_not_become_longer(tmp_path: Path) -> None:
    script = (
        'until [ "$(ulimit -f)" = 2 ]; do sleep 0.01; done; head -c 9999 /dev/zero >f; echo ended $? >said'
    )
    ref = spawn_detached(
        ["/bin/sh", "-c", script],
        marker="m",
        output=tmp_path / "log",
        cwd=tmp_path,
        bounds={resource.RLIMIT_FSIZE: 1024},
    )
    assert asyncio.run(proc.wait_gone(ref, 60))
    assert (tmp_path / "said").read_text() == "ended 1\n"
    assert (tmp_path / "f").stat().st_size == 1024


def test_a_detached_process_outlives_its_starter(tmp_path: Path) -> None:
    code = """if 1:
        import sys; from pathlib import Path; from banger.host.spawn import spawn_detached
        place = Path(sys.argv[1])
        print(*spawn_detached(["/bin/sleep", "60"], marker="m", output=place / "log", cwd=place))
    """
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True, text=True)
    ref = ProcessRef(*map(int, done.stdout.split()))
    assert proc.is_alive(ref)
    assert proc.send_signal(ref, 9)


def test_a_detached_program_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Error) as caught:
        spawn_detached(["/not/there"], marker="m", output=tmp_path / "log", cwd=tmp_path)
    assert caught.value.code == "tool_missing"


def test_the_exit_code_of_a_child_is_known_after_it_was_collected(tmp_path: Path) -> None:
    codes = {}
    for argv in (["sh", "-c", "exit 7"], ["sh", "-c", "kill -9 $$"]):
        ref = spawn_detached(argv, marker="m", output=tmp_path / "log", cwd=tmp_path)
        assert asyncio.run(proc.wait_gone(ref, 10))
        codes[argv[2]] = proc.exit_of(ref)
    assert [*codes.values()] == [7, -9]


def test_who_is_no_child_or_runs_has_no_exit_code(sleeper: ProcessRef) -> None:
    assert proc.exit_of(sleeper) is None
    assert proc.exit_of(ProcessRef(os.getpid(), 1)) is None


def test_what_it_prints_and_what_it_complains_of_may_go_to_two_files(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo said; echo complained >&2"]
    ref = spawn_detached(
        argv, marker="m", output=tmp_path / "log", console=tmp_path / "console", cwd=tmp_path
    )
    assert asyncio.run(proc.wait_gone(ref, 10))
    assert (tmp_path / "console").read_text() == "said\n"
    assert (tmp_path / "log").read_text() == "complained\n"


def test_a_process_without_an_environment_is_marked_by_its_id(tmp_path: Path) -> None:
    """And by no other argument; nor does an id count where there is an environment."""
    mark = f"test-{os.urandom(6).hex()}"
    word = proc.mark_as_id("BANGER_TEST_MARK", mark)
    argv = ["/bin/sh", "-c", "read line", "sh"]
    lines: list[tuple[list[str], dict[str, str]]] = [
        (["--id", word], {}),
        (["--uid", word], {}),
        ([f"--id {word}"], {}),
        (["--id", word], {"A": "b"}),
    ]
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(open(tmp_path / "output", "wb"))
        started = [
            subprocess.Popen([*argv, *line], env=env, stdin=subprocess.PIPE, stdout=output)
            for line, env in lines
        ]
        for process in started:
            stack.enter_context(process)
            stack.callback(process.kill)
        (found,) = proc.find_marked("BANGER_TEST_MARK", mark)
        assert found.pid == started[0].pid
        assert proc.output_directory(found) == str(tmp_path)
