"""Manual pages from the parsers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from banger.cli.manual import pages, roff, write
from banger.cli.table import NOUNS


def test_each_verb_has_a_page(tmp_path: Path) -> None:
    assert write(tmp_path / "man") == 1 + sum(map(len, NOUNS.values()))
    page = (tmp_path / "man/banger-vm-run.1").read_text()
    assert r"\fB\-m\fR, \fB\-\-memory\fR \fISIZE\fR" in page and ".SH NETWORK" in page


@pytest.mark.parametrize(
    ("text", "written"),
    [(".so /etc/passwd", r"\&.so /etc/passwd"), ("'x", r"\&'x"), (r"a\fB-b", r"a\efB\-b"), ("", "")],
)
def test_text_means_only_itself(text: str, written: str) -> None:
    assert roff(text) == written


def test_no_line_is_a_request_by_accident() -> None:
    requests = (".TH ", ".SH ", ".TP", ".nf", ".fi")
    for name, text in pages():
        for line in text.splitlines():
            assert not line.startswith("'"), (name, line)
            assert not line.startswith(".") or line.startswith(requests), (name, line)


def test_groff_has_nothing_to_warn_of(tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("capability missing: groff on this host")
    write(tmp_path)
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-z", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr[-2000:]
