"""The id of a command leads to the log of the VMM that it started, and to the error of a start that failed."""

from __future__ import annotations

import json

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e


def test_the_log_of_a_vmm_says_which_request_started_it(home: Home, name: str) -> None:
    home.text(
        "run", "-d", "--cold", "--name", name, IMAGE, "--", "sleep", "1000", env={"BANGER_REQUEST": "from-me"}
    )
    said = (home.files_of(name) / "vmm.log").read_text().splitlines()
    assert said[0].startswith("banger: 2") and " started by request from-me (uid " in said[0]
    home.text("stop", "-t", "0", name)
    home.text("start", name, env={"BANGER_REQUEST": "again"})
    said = (home.files_of(name) / "vmm.log").read_text().splitlines()
    assert [line.split(" by request ")[1].split()[0] for line in said if " by request " in line] == [
        "from-me",
        "again",
    ]


def test_a_start_that_failed_says_which_request_it_was(home: Home, name: str) -> None:
    words = [
        "run",
        "--rm",
        "--cold",
        "--name",
        name,
        "--boot-timeout",
        "0.05s",
        "--json",
        IMAGE,
        "--",
        "true",
    ]
    done = home.run(*words, env={"BANGER_REQUEST": "too-fast"})
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["code"] == "boot_timeout" and error["details"]["request"] == "too-fast"
