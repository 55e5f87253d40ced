"""Programs that run to completion: bounded, clean, and never outliving the call."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host.run import Result, clean_environment, find_tool, have_tool, run
from tests.support.pace import allowed_s


def finish(awaitable: Awaitable[Result]) -> Result:
    async def main() -> Result:
        return await awaitable

    return asyncio.run(main())


def failure(awaitable: Awaitable[Result]) -> Error:
    with pytest.raises(Error) as caught:
        finish(awaitable)
    return caught.value


def is_gone(pid: int) -> bool:
    """Dead, or dead and waiting to be collected by whoever adopted it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_output_and_exit_code_come_back() -> None:
    result = finish(run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False))
    assert result == Result(3, b"out\n", b"err\n")


def test_stdin_is_closed_unless_given() -> None:
    assert finish(run(["cat"])).stdout == b""
    assert finish(run(["cat"], stdin=b"x" * 1_000_000)).code == 0
    assert finish(run(["true"], stdin=b"x" * 1_000_000)).code == 0


def test_only_the_end_of_much_output_is_kept() -> None:
    result = finish(run(["sh", "-c", "head -c 3000000 /dev/zero; echo end"]))
    assert len(result.stdout) == 256 * 1024
    assert result.stdout.endswith(b"end\n")


def test_a_failure_says_the_tools_last_words_and_how_to_repeat_it() -> None:
    error = failure(run(["sh", "-c", "echo first >&2; echo no space >&2; exit 7"]))
    assert (error.code, error.message) == ("tool_failed", "sh failed with exit code 7: no space")
    assert error.hint.startswith("run it by hand: sh -c 'echo first")


def test_a_signal_is_named() -> None:
    assert "signal 9" in failure(run(["sh", "-c", "kill -9 $$"])).message


def test_a_missing_tool_names_its_package() -> None:
    error = failure(run(["newuidmap-not-here"]))
    assert (error.code, error.hint) == ("tool_missing", "apt-get install newuidmap-not-here")
    assert not have_tool("newuidmap-not-here")
    assert os.access(find_tool("sh"), os.X_OK)


def test_lines_of_stderr_are_seen_as_they_come() -> None:
    seen: list[str] = []
    finish(run(["sh", "-c", "printf 'one\\ntw' >&2; printf 'o\\n' >&2"], on_line=seen.append))
    assert seen == ["one", "two"]


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    assert failure(run(["sh", "-c", script], timeout_s=0.5)).code == "timeout"
    assert time.monotonic() - begun < allowed_s(10)
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_holds_the_output_after_its_parent_is_killed_too(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid"
    assert failure(run(["sh", "-c", script], timeout_s=0.5)).code == "timeout"
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_cancelling_kills_the_program_first(tmp_path: Path) -> None:
    async def main() -> None:
        script = f"echo $$ > {tmp_path}/pid; echo started >&2; sleep 60"
        started = asyncio.Event()
        task = asyncio.create_task(run(["sh", "-c", script], on_line=lambda _: started.set()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_the_environment_is_clean_but_keeps_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_TIME": "de_DE", "PYTHONPATH": "/x", "https_proxy": "p:1"}.items():
        monkeypatch.setenv(name, value)
    environment = clean_environment({"EXTRA": "1"})
    assert (environment["https_proxy"], environment["EXTRA"]) == ("p:1", "1")
    assert (environment["LC_ALL"], environment["LANG"]) == ("C.UTF-8", "C.UTF-8")
    assert {"LC_TIME", "PYTHONPATH"} & environment.keys() == set()
    assert "/usr/sbin" in environment["PATH"].split(":")


def test_a_tool_named_by_its_path_is_not_looked_up() -> None:
    assert finish(run([sys.executable, "-c", "print(1)"])).stdout == b"1\n"
