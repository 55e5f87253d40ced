"""Each target for a few seconds, always the same way. `make fuzz` takes longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TARGETS = sorted(path.stem for path in (REPOSITORY / "tests/fuzz/targets").glob("fuzz_*.py"))
SECONDS = 5


@pytest.mark.fuzz
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="capability missing: atheris has no wheel for this interpreter and machine",
)
@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_make_a_target_raise(target: str, tmp_path: Path) -> None:
    # The peak of memory that libFuzzer reads is our own from before the exec; single allocations are limited instead.
    limits = ["-rss_limit_mb=0", "-malloc_limit_mb=1024", "-max_len=4096", "-timeout=10"]
    options = [f"-max_total_time={SECONDS}", "-seed=1", *limits]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", target, str(tmp_path), *options],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert not [*tmp_path.glob("crash-*"), *tmp_path.glob("timeout-*"), *tmp_path.glob("oom-*")]
