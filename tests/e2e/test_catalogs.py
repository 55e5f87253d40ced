"""Catalogs by the command line: an image and a kernel go out by one and come back by the other, and a machine runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, open_home
from tests.support.registry import require_tools
from tests.support.web import Web, open_web

pytestmark = pytest.mark.e2e


@pytest.fixture
def home_of_its_own() -> Iterator[Home]:
    with open_home(own_images=True, own_templates=True) as opened:
        yield opened


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "www").mkdir()
    with open_web(tmp_path / "www") as opened:
        yield opened


def test_a_machine_runs_what_was_published_and_pulled(
    home_of_its_own: Home, web: Web, tmp_path: Path
) -> None:
    require_tools("minisign")
    home, lab, key = home_of_its_own, web.directory / "lab", tmp_path / "lab.key"
    argv = ["minisign", "-G", "-W", "-p", str(tmp_path / "lab.pub"), "-s", str(key)]
    subprocess.run(argv, check=True, capture_output=True)
    out = ("--into", str(lab), "--key", str(key), "-q")
    publish = ("image", "publish", *out, "--catalog", "lab", "--as", "box", "--alias", "crate", IMAGE)
    assert home.text(*publish, timeout_s=300) == "box\n"
    assert home.text("kernel", "publish", *out, "--as", "seed", "debian-cloud", timeout_s=300) == "seed\n"
    verified = home.text("catalog", "verify", "-q", "--key", str(tmp_path / "lab.pub"), str(lab))
    assert verified == "lab: all is well\n"

    added = home.text("catalog", "add", f"{web.url}/lab", "--key", str(tmp_path / "lab.pub"))
    assert added == "lab\n"
    assert [catalog["version"] for catalog in home.json("catalog", "list")][1] == 2
    assert home.text("kernel", "pull", "-q", "seed", timeout_s=300) == "seed\n"
    try:
        words = ("vm", "run", "--rm", "--cold", "--kernel", "seed", "crate", "--", "cat", "/etc/os-release")
        assert "ID=debian" in home.text(*words, timeout_s=300)
        assert home.json("image", "show", "box")["catalog"] == "lab"
        assert {
            offer["name"]: offer["here"] for offer in home.json("image", "catalog", "--search", "crate")
        } == {"box": True}
        refreshed = home.run("catalog", "refresh", "lab")
        assert refreshed.returncode == 0
        (lab / "index.json").write_bytes(b"{}")
        done = home.run("catalog", "refresh", "lab")
        assert done.returncode == 125 and b"does not fit" in done.stderr
    finally:
        home.run("kernel", "delete", "seed")


@pytest.mark.timeout(1200)
def test_a_container_runs_in_the_development_box(home_of_its_own: Home) -> None:
    """Its image is made in the box, of its own busybox-like tools, so that no registry is needed."""
    home, box = home_of_its_own, "debian-bookworm-dev"
    home.run("image", "pull", "-q", box, check=True, timeout_s=600)
    script = r"""
        set -eu
        mkdir -p /tmp/root/bin
        printf '#include <stdio.h>\nint main(void) { puts("in a container"); return 7; }\n' > /tmp/hello.c
        gcc -static -o /tmp/root/bin/hello /tmp/hello.c
        tar -C /tmp/root -c . | podman import - hello >/dev/null
        podman run --rm hello /bin/hello || echo "ended with $?"
        git --version; tmux -V; ssh -V 2>&1
    """
    options = ["--rm", "--cold", "--memory", "1GiB", "--cpus", "2"]
    said = home.text("vm", "run", *options, box, "--", "bash", "-c", script, timeout_s=600)
    assert "in a container\nended with 7\n" in said
