"""`banger build`: a Dockerfile becomes an image in a machine, from images of a registry with a password."""

from __future__ import annotations

import base64
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.home import Home, open_home, wait_until
from tests.support.registry import PASSWORD, USER, call, open_registry_server, require_tools
from tests.support.registry_images import Builder

pytestmark = [pytest.mark.e2e, pytest.mark.builds, pytest.mark.timeout(600)]

_DOCKERFILE = """# escape=\\
ARG BASE
FROM ${BASE} AS made
ARG WORD=none
RUN mkdir /made \\
    # between lines
    && echo $WORD > /made/word

FROM ${BASE} AS unused
RUN exit 7

FROM ${BASE}
COPY --from=made /made/word /srv/
COPY . /srv/
ENV GREETING=hello
WORKDIR /srv
USER 1234
CMD ["/bin/sh", "-c", "echo $GREETING; cat word kept; ls; id -u"]
"""
_WORD = "a-word-that-is-easy-to-find"
_BUILD_S = 400
_LOGGED_IN = ("--tls-verify=false", "--creds", f"{USER}:{PASSWORD}")


@dataclass(frozen=True)
class Site:
    """A home that may pull `base` from a registry that wants a password, and a context."""

    home: Home
    registry: str
    context: Path

    def build(self, *words: str) -> tuple[int, str, str]:
        arguments = ("--build-arg", f"BASE={self.registry}/base:1", "--build-arg", f"WORD={_WORD}")
        done = self.home.run("build", *arguments, *words, str(self.context), timeout_s=_BUILD_S)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def builder(self) -> str:
        (name,) = [one["name"] for one in self.home.json("vm", "list") if one["name"].startswith("build-")]
        return str(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_tools("skopeo", "busybox")
    directory = tmp_path_factory.mktemp("build")
    with open_registry_server(directory / "registry", htpasswd=True) as server:
        _push_base(directory, server.host)
        with open_home(builder=True) as home:
            login = ("image", "login", "-u", USER, "--password-stdin", server.host)
            home.text(*login, stdin=f"{PASSWORD}\n".encode())
            context = directory / "My box"
            context.mkdir()
            (context / "Dockerfile").write_text(_DOCKERFILE)
            (context / ".dockerignore").write_text("*\n!kept\n")
            (context / "kept").write_text("kept\n")
            (context / "secret").write_text("secret\n")
            yield Site(home, server.host, context)


def _push_base(directory: Path, registry: str) -> None:
    """One layer with a shell."""
    builder = Builder(directory / "buildah")
    tree = directory / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "srv").mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    for name in ("sh", "cat", "echo", "id", "ls", "mkdir"):
        (tree / "bin" / name).symlink_to("busybox")
    container = builder.buildah("from", "--pull-never", *builder.policy, "scratch")
    builder.buildah("copy", "-q", container, str(tree), "/")
    builder.buildah("config", "--env", "PATH=/bin", container)
    builder.buildah("commit", "-q", *builder.policy, container, "localhost/base")
    builder.push("localhost/base", f"docker://{registry}/base:1", "--creds", f"{USER}:{PASSWORD}")
    builder.close()


def test_a_dockerfile_becomes_an_image_that_runs(site: Site) -> None:
    code, out, err = site.build("-t", "boxed:1", "-t", "also", "-q")
    assert (code, out) == (0, "boxed:1\n"), err
    assert err == ""
    said = site.home.text("run", "--rm", "boxed:1").split()
    assert said == ["hello", _WORD, "kept", "kept", "word", "1234"]
    shown = site.home.json("image", "show", "also")
    assert shown["config"]["env"] == ["PATH=/bin", "GREETING=hello"] and shown["config"]["user"] == "1234"


def test_a_build_of_the_same_uses_the_cache_and_a_change_does_not(site: Site) -> None:
    code, _, err = site.build("-t", "boxed:2")
    assert code == 0 and "COPY --from=made" in err, err
    assert err.count("Using cache") >= 5, err
    one, two = (site.home.json("image", "show", f"boxed:{tag}") for tag in (1, 2))
    assert one["digest"] == two["digest"]
    (site.context / "kept").write_text("changed\n")
    site.build("-t", "boxed:3")
    assert "changed" in site.home.text("run", "--rm", "boxed:3")


def test_no_password_is_in_the_machine_that_builds(site: Site) -> None:
    site.build("-q", "-t", "boxed:4")
    name = site.builder()
    site.home.text("start", name)
    find = ("exec", name, "--", "grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=sys")
    places = ("/etc", "/root", "/var", "/run", "/tmp", "/home", "/srv")
    encoded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode().rstrip("=")
    assert "/var/lib/containers/" in site.home.text(*find, "-e", _WORD, *places)
    done = site.home.run(*find, "-e", PASSWORD, "-e", encoded, *places)
    assert (done.returncode, done.stdout) == (1, b""), done.stderr
    site.home.text("stop", name)


def test_a_step_that_fails_is_named_and_makes_no_image(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    digest = call(
        "skopeo", "inspect", *_LOGGED_IN, "--format={{.Digest}}", f"docker://{site.registry}/base:1"
    )
    file.write_text(f"FROM {site.registry}/base@{digest}\nRUN echo boom >&2; exit 3\n")
    done = site.home.run(
        "build", "--json", "-f", str(file), "-t", "broken", str(site.context), timeout_s=_BUILD_S
    )
    lines = done.stderr.decode().splitlines()
    error = json.loads(lines[-1])["error"]
    assert done.returncode == 1 and error["code"] == "build_failed", lines
    assert "boom" in lines and "exit 3" in error["message"]
    assert site.home.run("image", "show", "broken").returncode != 0
    assert site.home.json("vm", "show", site.builder())["state"] == "stopped"


def test_a_build_whose_client_ends_leaves_a_builder_that_the_next_build_uses(
    site: Site, tmp_path: Path
) -> None:
    file, errors = tmp_path / "Dockerfile", tmp_path / "errors"
    words = ("build", "-f", str(file), "-t", "late", str(site.context))
    for number, state in ((signal.SIGINT, "stopped"), (signal.SIGKILL, "running")):
        file.write_text(f"FROM {site.registry}/base:1\nRUN echo it waits; cat /dev/zero > /dev/null\n")
        with open(errors, "wb") as sink:
            client = site.home.popen(*words, stderr=sink)
        wait_until(lambda: errors.read_text().count("it waits") > 1, 200, "the step runs")
        client.send_signal(number)
        assert client.wait(timeout=100) in (130, -number)
        assert site.home.json("vm", "show", site.builder())["state"] == state
    file.write_text(f"FROM {site.registry}/base:1\nRUN true\n")
    site.home.text(*words, timeout_s=_BUILD_S)
    assert site.home.json("vm", "show", site.builder())["state"] == "stopped"


def test_an_image_that_was_built_is_pushed_above_the_layers_of_its_base(site: Site, tmp_path: Path) -> None:
    target = f"{site.registry}/made/boxed:1"
    assert site.home.json("push", "boxed:1", target)["sent"] == 1
    inspected = [
        json.loads(call("skopeo", "inspect", "--raw", *_LOGGED_IN, f"docker://{ref}"))["layers"]
        for ref in (f"{site.registry}/base:1", target)
    ]
    assert [one["digest"] for one in inspected[1][:-1]] == [one["digest"] for one in inspected[0]]


def test_the_caches_go_when_they_are_pruned(site: Site) -> None:
    site.home.text("build", "-q", "-t", "empty", "-", stdin=b"FROM scratch\nENV A=b\n", timeout_s=_BUILD_S)
    name = site.builder()  # a Dockerfile alone leaves none
    assert site.home.text("build", "--prune") == f"{name}\n"
    assert site.home.json("vm", "list") == []
