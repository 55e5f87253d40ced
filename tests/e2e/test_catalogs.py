"""Catalogs by the command line: an image and a kernel go out by one and come back by the other, and a machine runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.agent.binary import agent_binary
from banger.host import cpu
from tests.support.catalogs import Publisher, image_entry
from tests.support.home import IMAGE, Home, open_home
from tests.support.registry import open_registry_server, require_tools
from tests.support.registry_images import Builder
from tests.support.web import Web

pytestmark = pytest.mark.e2e


@pytest.fixture
def home_of_its_own() -> Iterator[Home]:
    """A daemon that starts sweeps the kernels' directory, so one that others share is none to pull kernels into."""
    with open_home(own_images=True, own_templates=True) as opened:
        for name in ("kernels", "initramfs"):
            own_directory_of_links(opened.directory / "cache" / name)
        yield opened


def own_directory_of_links(link: Path) -> None:
    """In place of a link to a directory: one with links to what is in that."""
    shared = link.resolve()
    link.unlink()
    link.mkdir()
    for path in shared.glob("[!.]*"):
        (link / path.name).symlink_to(path)


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
        assert done.returncode == 125 and b"does not match" in done.stderr
    finally:
        home.run("kernel", "delete", "seed")


def test_a_machine_runs_what_a_registry_has_by_the_digest_of_an_entry(
    home_of_its_own: Home, web: Web, tmp_path: Path
) -> None:
    home, lab = home_of_its_own, Publisher(web.directory / "lab")
    missing = {"type": "bundle", "digest": "sha256:" + "cd" * 32, "size_bytes": 9}
    with open_registry_server(tmp_path / "registry") as server:
        place = f"{server.host}/team/tool"
        digest = push_program(tmp_path / "buildah", f"{place}:1")
        good, absent = f"{place}@{digest}", f"{place}:1@{missing['digest']}"
        tool = image_entry("tool", sources=[missing, oci(good)], architecture=cpu.architecture())
        wrong = image_entry("wrong", sources=[missing, oci(absent)], architecture=cpu.architecture())
        lab.publish(tool, wrong)
        assert home.text("catalog", "add", f"{web.url}/lab", "--key", lab.public) == "lab\n"

        done = home.run("vm", "run", "--rm", "--cold", "tool", timeout_s=300)
        assert done.returncode == 0 and done.stdout == program("--version")
        assert b"tool: bundle sha256:cdcdcdcdcdcd: " in done.stderr and b"another source" in done.stderr
        (image,) = [image for image in home.json("image", "list") if image["name"] == "tool"]
        assert (image["catalog"], image["source"]) == ("lab", good)
        assert image["manifest_digest"] == digest
        here = {offer["name"]: offer["here"] for offer in home.json("image", "catalog")}
        assert here["tool"] is True and here["wrong"] is False

        before = sorted((home.directory / "cache/images").iterdir())
        done = home.run("image", "pull", "--json", "wrong", timeout_s=60)
        error = json.loads(done.stderr.decode().splitlines()[-1])["error"]
        assert (done.returncode, error["code"]) == (125, "image_not_found")
        assert [source["type"] for source in error["details"]["sources"]] == ["bundle", "oci"]
        assert "wrong" not in home.text("image", "list", "-q").split()
        assert sorted((home.directory / "cache/images").iterdir()) == before
    # The registry is gone by now, and what the digest names is here.
    assert home.text("image", "pull", "-q", "tool", timeout_s=60) == "tool\n"


def oci(reference: str) -> dict[str, str]:
    return {"type": "oci", "reference": reference}


def program(*arguments: str) -> bytes:
    """What it prints on this host."""
    return subprocess.run(
        [agent_binary(cpu.architecture()), *arguments], stdout=subprocess.PIPE, check=True
    ).stdout


def push_program(directory: Path, place: str) -> str:
    """One static program as an image in a registry; its digest."""
    builder = Builder(directory)
    try:
        container = builder.buildah("from", "--pull-never", *builder.policy, "scratch")
        builder.buildah("add", "-q", container, str(agent_binary(cpu.architecture())), "/program")
        builder.buildah("config", "--entrypoint", '["/program"]', "--cmd", "--version", container)
        builder.buildah("commit", "-q", *builder.policy, container, "localhost/tool")
        builder.push("localhost/tool", f"docker://{place}", "--digestfile", str(directory / "digest"))
        return (directory / "digest").read_text().strip()
    finally:
        builder.close()


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
