"""Made-up requests at every route, for more than a minute, and always the same. `make fuzz-api` takes longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
REPOSITORY = Path(__file__).parents[2]
SECONDS = 75
# If fewer verbs carry out a request, something that should be there is not.
REACHED = 40


@pytest.mark.timeout(500)
def test_no_made_up_request_breaks_the_daemon_or_what_the_api_promises() -> None:
    options = ["--seconds", str(SECONDS), "--seed", "1", "--each", "2", "--reach", str(REACHED)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.routes", *options], cwd=REPOSITORY, capture_output=True, timeout=450
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-9000:]
